import { z } from 'zod'
import { peerSchema } from '../../shared/protocol/control.ts'
import { collectiveOptions } from './collective-options.ts'

/** Of the one group that there is. */
export const runId = 'bench'
export const generation = 1

const optionsSchema = z.object({
  /** Address of the control server of the process that measures. */
  coordinator: z.string(),
  workerId: z.string(),
  /** Where the worker's data comes in. */
  dataBind: z.string(),
  /** Of the largest bucket. */
  largestBytes: z.number().int().positive(),
  collective: z.record(z.string(), z.unknown()).transform(collectiveOptions),
})
export type AllReduceWorkerOptions = z.infer<typeof optionsSchema>

/** The main thread itself where all workers are on one host (worker/host-reduction.ts). */
export type ReducingThread = Extract<FromAllReduceProcess, { kind: 'measured' }>['by']

/** From the process that measures to a worker: over Node's IPC channel, or over TCP to another host (remote-workers.ts). */
const toWorkerSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('start'), options: optionsSchema }),
  z.object({ kind: z.literal('form'), rank: z.number().int().nonnegative(), peers: z.array(peerSchema) }),
  z.object({ kind: z.literal('measure'), bytes: z.number().int(), iterations: z.number().int().positive() }),
  z.object({ kind: z.literal('end') }),
])
export type ToAllReduceProcess = z.infer<typeof toWorkerSchema>

const fromWorkerSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('open'), endpoint: z.string() }),
  /**
   * Seconds of each iteration; bytes that this rank sent in the last one; what is wrong with a sum, null where all are right; which of a
   * worker's threads reduced.
   */
  z.object({
    kind: z.literal('measured'),
    seconds: z.array(z.number()).readonly(),
    sentBytes: z.number(),
    wrong: z.string().nullable(),
    by: z.enum(['main', 'communication']),
  }),
])
export type FromAllReduceProcess = z.infer<typeof fromWorkerSchema>

/** Between hosts a worker says first which version it is; and it says that a process has ended, so that another can begin. */
const fromHostSchema = z.discriminatedUnion('kind', [
  ...fromWorkerSchema.options,
  z.object({ kind: z.literal('join'), version: z.string() }),
  z.object({ kind: z.literal('ended') }),
])
export type FromHost = z.infer<typeof fromHostSchema>
const toHostSchema = z.discriminatedUnion('kind', [
  ...toWorkerSchema.options,
  z.object({ kind: z.literal('refused'), reason: z.string() }),
  /** Nothing more is measured. */
  z.object({ kind: z.literal('bye') }),
])
export type ToHost = z.infer<typeof toHostSchema>

export const decodeFromHost = (value: unknown): FromHost | null => fromHostSchema.safeParse(value).data ?? null
export const decodeToHost = (value: unknown): ToHost | null => toHostSchema.safeParse(value).data ?? null
