import { z } from 'zod'
import { noises } from './hyperparameters.ts'
import { count, families, networkSpecSchema } from './layers.ts'

/** A model for images of one shape, as data: stored in a checkpoint's manifest, so that another program can rebuild it. */
export const modelSpecSchema = z.object({
  name: z.string(),
  family: z.enum(families),
  image: z.object({ height: count, width: count, channels: count }),
  networks: z.array(networkSpecSchema),
  latentSize: count,
  noise: z.enum(noises),
  /** Interval of pixel values that the networks see and make. */
  pixelRange: z.tuple([z.number(), z.number()]),
  /** Images that a discriminator sees at once, behind each other in its channels. */
  packing: count,
  /** Whether the labels are read, by a layer or by the loss. */
  conditional: z.boolean(),
  /** Networks of which a moving average is kept, named `<network>Average`. */
  averages: z.array(z.string()),
})
export type ModelSpec = Readonly<z.infer<typeof modelSpecSchema>>

/** Classes of labels. */
export const labelClasses = 10

/** Name of a network's moving average, which has the same layers. */
export const averageOf = (network: string): string => `${network}Average`
