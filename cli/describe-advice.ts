import { z } from 'zod'
import { duration } from './progress.ts'

const forecastSchema = z.looseObject({
  workers: z.number(),
  where: z.enum(['here', 'further hosts']),
  imagesPerSecond: z.number(),
  lowImagesPerSecond: z.number(),
  highImagesPerSecond: z.number(),
  etaSeconds: z.number().nullable(),
  efficiency: z.number(),
})
const adviceSchema = z.looseObject({
  basis: z.string(),
  forecasts: z.array(forecastSchema),
  changes: z.array(
    z.looseObject({ flag: z.string(), savedMs: z.number(), lowMs: z.number(), highMs: z.number(), pays: z.boolean() }),
  ),
})

/** What the advisor says, in lines for people; one line where it has nothing to say yet. */
export function describeAdvice(advice: unknown): string[] {
  const parsed = adviceSchema.safeParse(advice)
  if (!parsed.success) return ['advice          too few steps were seen yet']
  const { basis, forecasts, changes } = parsed.data
  return [
    `advice          ${basis}`,
    ...forecasts.map(
      ({ workers, where, imagesPerSecond, lowImagesPerSecond, highImagesPerSecond, etaSeconds, efficiency }) => {
        const rate = `${whole(imagesPerSecond)} images/s (${whole(lowImagesPerSecond)} to ${whole(highImagesPerSecond)})`
        const left = etaSeconds === null ? '' : `  ETA ${duration(etaSeconds)}`
        return `  ${workers} worker${workers === 1 ? '' : 's'}, ${where}: ${rate}${left}  efficiency ${Math.round(100 * efficiency)} %`
      },
    ),
    ...changes.map(({ flag, savedMs, lowMs, highMs, pays }) => {
      const range = `${savedMs.toFixed(2)} ms of a step (${lowMs.toFixed(2)} to ${highMs.toFixed(2)})`
      return `  ${flag}: would save ${range}: ${pays ? 'it pays' : 'not worth it'}`
    }),
  ]
}

const whole = (value: number): string => Math.round(value).toLocaleString('en')
