import { z } from 'zod'

const natural = z.number().int().min(0)
const positive = z.number().positive()

/** A measured link to another rank. */
const linkReportSchema = z.object({
  rank: natural,
  /** There and back, an empty frame, in microseconds. */
  roundTripUs: positive,
  bytesPerSecond: positive,
})
export type LinkReport = z.infer<typeof linkReportSchema>

/** What a rank found out about its links. */
export const rankReportSchema = z.object({
  /** Ranks that read this one's file in memory: they are on its host. */
  sameHost: z.array(natural),
  /** Some, as far as they could be measured. */
  links: z.array(linkReportSchema),
})
export type RankReport = z.infer<typeof rankReportSchema>

/** One way. */
const linkSpeedSchema = z.object({ latencyUs: positive, bytesPerSecond: positive })
export type LinkSpeed = z.infer<typeof linkSpeedSchema>

/** How a group hangs together; the same on all ranks, since the coordinator says it in `start`. */
export const topologySchema = z.object({
  /** Number of the host of each rank, by rank, from 0. */
  hosts: z.array(natural),
  /** Links between ranks of one host, and between hosts: medians; null where there is none, or it was not measured. */
  inside: linkSpeedSchema.nullable(),
  between: linkSpeedSchema.nullable(),
  /** All goes through the coordinator (`star`). */
  hub: z.boolean(),
})
export type Topology = z.infer<typeof topologySchema>
