import { z } from 'zod'

const seconds = z.number().min(0)

/** Worker-seconds by what they went to. */
export const goodputSecondsSchema = z.object({
  /** Computing steps that count. */
  useful: seconds,
  /** Steps that were computed before, and the step that a failure threw away. */
  recomputed: seconds,
  /** In collectives: for peers, and for the network. */
  waiting: seconds,
  /** From the failure, or the step boundary, until the next group steps. */
  reforming: seconds,
  /** There were too few workers, or somebody asked for it. */
  paused: seconds,
  /** From hello until the first group: loading TensorFlow and data, waiting to be let in. */
  starting: seconds,
  /** Between steps: sample grids, checkpoints, fetching state. */
  other: seconds,
})
export type GoodputSeconds = Readonly<z.infer<typeof goodputSecondsSchema>>
export type GoodputPart = keyof GoodputSeconds

export const goodputParts = [
  'useful',
  'recomputed',
  'waiting',
  'reforming',
  'paused',
  'starting',
  'other',
] as const satisfies readonly GoodputPart[]

export const notedGoodputSchema = z.object({
  seconds: goodputSecondsSchema,
  /** By the coordinator's clock, in milliseconds. */
  at: z.number(),
  /** Of all members of the group together: time that no report has told of. */
  untoldSeconds: seconds,
  furthest: z.number(),
  redoThrough: z.number(),
})
export type NotedGoodput = Readonly<z.infer<typeof notedGoodputSchema>>

export interface GoodputFigures {
  readonly workerSeconds: number
  /** Of them, useful. */
  readonly share: number
  readonly seconds: GoodputSeconds
}

const none: GoodputSeconds = {
  useful: 0,
  recomputed: 0,
  waiting: 0,
  reforming: 0,
  paused: 0,
  starting: 0,
  other: 0,
}

export const nothing: NotedGoodput = { seconds: none, at: 0, untoldSeconds: 0, furthest: 0, redoThrough: 0 }
