import { Packr } from 'msgpackr'
import { z } from 'zod'
import { runConfigSchema } from '../core/config.ts'
import { gridKinds } from '../core/grid-kind.ts'
import { modelSpecSchema } from '../model/spec.ts'
import { rankReportSchema, topologySchema } from './topology.ts'

/** Peers of another version are refused at hello. */
export const protocolVersion = 11

const natural = z.number().int().min(0)
const hostAndPort = z.string().regex(/^(\[[0-9a-fA-F:.]{2,45}\]|[\w.-]{1,253}):\d{1,5}$/)
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const blobList = z.array(z.object({ sha256, bytes: natural }))

export const chunkManifestSchema = z.object({
  sampleBytes: natural,
  samplesPerChunk: natural,
  sampleCount: natural,
  chunks: blobList,
  labels: blobList.default([]),
})

const imageShape = z.object({ height: natural, width: natural, channels: natural })

/** State to start from: pieces of the two safetensors files of a checkpoint, in order. */
const restoreSchema = z.object({
  step: natural,
  optimizerSteps: z.record(z.string(), natural),
  weights: blobList,
  optimizer: blobList,
})

/**
 * Which bits a worker holds: those of `step` commits, the last one made in `generation` (0: initial or restored). Two
 * workers with equal identities hold equal bits; of two identities the later generation, then the later step is ahead.
 */
export const stateIdentitySchema = z.object({ generation: natural, step: natural })
export type StateIdentity = z.infer<typeof stateIdentitySchema>

/** Of a worker that holds one stage of a pipeline: which one, and the state before the last step, to which it can go back. */
const heldStageSchema = z.object({ stage: natural, before: stateIdentitySchema.nullable() })
export type HeldStage = z.infer<typeof heldStageSchema>

export const peerSchema = z.object({ workerId: z.string(), rank: natural, endpoint: z.string() })

export const committedStepSchema = z.object({
  /** Step count after the commit. */
  step: natural,
  /** When it was committed, by the clock of the rank that tells it: milliseconds since 1970. */
  time: z.number(),
  epoch: natural,
  /** Checksum of the samples of each batch, as reduced over all ranks (sample-checksum.ts). */
  batches: z.array(z.tuple([z.number(), z.number(), z.number(), z.number(), z.number()])),
  images: natural,
  scalars: z.record(z.string(), z.number()),
  skipped: z.boolean(),
  seconds: z.number(),
  allReduceSeconds: z.number(),
  /** Where the time of the step went, on the rank that tells it. */
  phaseSeconds: z.record(z.string(), z.number()),
  allReduceBytes: z.number(),
})
export type CommittedStep = z.infer<typeof committedStepSchema>

/** What kept a worker from computing since it told of its steps last, in seconds. */
const loadSchema = z.object({
  stoppedSeconds: z.number().min(0),
  /** Its main thread could run, and something else had the core. */
  delayedSeconds: z.number().min(0),
  gcSeconds: z.number().min(0),
  /**
   * Of a step: from where this rank began a collective until the last word of another one was there. Those that it waited for longest;
   * left out where main threads reduce by themselves.
   */
  late: z.array(z.object({ rank: natural, seconds: z.number().min(0) })).optional(),
})
export type Load = z.infer<typeof loadSchema>

const toCoordinatorSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('hello'),
    protocolVersion: natural,
    workerId: z.string().min(1).max(64),
    /** How often this process has asked to come in; an answer to an earlier time is none to this. */
    attempt: natural,
    /** The run that a reconnecting worker belongs to; null at first. */
    runId: z.string().nullable(),
    /** What a reconnecting member of a group holds; null for anybody else. */
    member: z.object({ generation: natural }).nullable(),
    /** Why a worker that comes back was away, as far as it can tell itself. */
    absence: z.enum(['stalled', 'cut-off']).nullable(),
    host: z.string(),
    processId: natural,
    backend: z.string(),
    threads: natural,
    /** That its host lends it: workers of one host share them. */
    cores: natural,
    /** Where this worker serves /metrics, as others find it; null: nowhere. */
    metrics: hostAndPort.nullable(),
  }),
  /** Warmed up; may enter at the next change of membership. */
  z.object({
    kind: z.literal('ready'),
    endpoint: z.string(),
    left: natural,
    state: stateIdentitySchema.nullable(),
    held: heldStageSchema.optional(),
  }),
  z.object({
    kind: z.literal('heartbeat'),
    attempt: natural,
    generation: natural,
    step: natural,
    residentBytes: z.number(),
    tensors: natural,
    staleFrames: natural,
    malformedFrames: natural,
    /** Collectives of this generation that this rank has entered, and those that are done. */
    entered: natural,
    reduced: natural,
    /** Pieces of state that came from other ranks. */
    fetched: natural,
    /** The `time` of the last pulse, and when it came and this was sent, by the worker's clock; null: no pulse yet. */
    clock: z.object({ pulse: z.number(), received: z.number(), sent: z.number() }).nullable(),
  }),
  z.object({ kind: z.literal('joined'), generation: natural, report: rankReportSchema }),
  z.object({
    kind: z.literal('committed'),
    generation: natural,
    steps: z.array(committedStepSchema),
    load: loadSchema.optional(),
  }),
  /** The link to a peer broke. */
  z.object({ kind: z.literal('suspect'), generation: natural, workerId: z.string(), reason: z.string() }),
  /** This rank has left its generation for good, at the last step that it committed. */
  z.object({
    kind: z.literal('halted'),
    generation: natural,
    state: stateIdentitySchema.nullable(),
    held: heldStageSchema.optional(),
    cause: z.enum(['failed', 'aborted', 'paused']),
    reason: z.string(),
  }),
  z.object({ kind: z.literal('blobRequest'), sha256 }),
  z.object({ kind: z.literal('replicaHash'), generation: natural, step: natural, weightsSha256: sha256 }),
  z.object({
    kind: z.literal('checkpointBegin'),
    step: natural,
    model: modelSpecSchema,
    optimizerSteps: z.record(z.string(), natural),
    weightsSha256: sha256,
    files: z.array(z.object({ name: z.enum(['weights.safetensors', 'optimizer.safetensors']), bytes: natural })),
  }),
  z.object({
    kind: z.literal('checkpointPiece'),
    step: natural,
    file: z.enum(['weights.safetensors', 'optimizer.safetensors']),
    offset: natural,
  }),
  z.object({ kind: z.literal('checkpointEnd'), step: natural }),
  z.object({
    kind: z.literal('samples'),
    picture: z.enum(gridKinds),
    step: natural,
    count: natural,
  }),
  /** What a look at the samples and latent vectors gave after a step (docs/stability.md). */
  z.object({
    kind: z.literal('inspected'),
    generation: natural,
    step: natural,
    figures: z.record(z.string(), z.number()),
  }),
  z.object({
    kind: z.literal('finished'),
    generation: natural,
    step: natural,
    weightsSha256: sha256,
    stopped: z.boolean(),
  }),
  /** What a thread has been doing, as records (trace-record.ts) in the second part; `dropped`: and so many more. */
  z.object({ kind: z.literal('trace'), thread: z.enum(['compute', 'communication']), dropped: natural }),
  /** `drain`: goes at the next step boundary, and waits for the goodbye. */
  z.object({ kind: z.literal('leave'), reason: z.string(), drain: z.boolean() }),
])
export type ToCoordinator = z.infer<typeof toCoordinatorSchema>

const toWorkerSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('welcome'),
    runId: z.string(),
    config: runConfigSchema,
    manifest: chunkManifestSchema,
    image: imageShape,
    heartbeatMs: natural,
  }),
  z.object({ kind: z.literal('refused'), code: z.string(), message: z.string() }),
  z.object({
    kind: z.literal('form'),
    generation: natural,
    rank: natural,
    peers: z.array(peerSchema),
    /** Lanes of each rank; of pipelines: of each pipeline. */
    deal: z.array(natural),
    /** What every rank holds before the first step: its own, from the rank `source`, from a checkpoint, or from the seed. */
    state: stateIdentitySchema,
    source: natural.nullable(),
    /** Of pipelines: for each stage a rank that holds its state, in place of `source`. */
    sources: z.array(natural).optional(),
    restore: restoreSchema.nullable(),
    /** Times that the run has been rolled back: each lowers the learning rates. */
    rollbacks: natural,
    /** Data go through the coordinator: ranks are not to connect to each other. */
    hub: z.boolean(),
  }),
  z.object({ kind: z.literal('start'), generation: natural, topology: topologySchema }),
  z.object({ kind: z.literal('abort'), generation: natural, reason: z.string() }),
  z.object({ kind: z.literal('stop'), reason: z.string() }),
  /** A checkpoint at the next step boundary, besides those that are due. */
  z.object({ kind: z.literal('checkpoint') }),
  /** Halt at the next step boundary, all ranks at the same one. */
  z.object({ kind: z.literal('pause'), generation: natural, reason: z.string() }),
  /** The group goes on without this worker; it may say hello again. `discard`: its state is wrong. */
  z.object({ kind: z.literal('expelled'), attempt: natural, reason: z.string(), discard: z.boolean() }),
  z.object({ kind: z.literal('checkpointAck'), step: natural }),
  /** It could not be stored; the rest need not be sent. */
  z.object({ kind: z.literal('checkpointFailed'), step: natural }),
  z.object({ kind: z.literal('blob'), sha256 }),
  z.object({ kind: z.literal('bye'), reason: z.string(), failed: z.boolean() }),
  /** The coordinator lives; it has noted all commits up to this step. `time`: by its clock, in milliseconds; null: not told. */
  z.object({ kind: z.literal('pulse'), step: natural, time: z.number().nullable() }),
])
export type ToWorker = z.infer<typeof toWorkerSchema>

export type Peer = z.infer<typeof peerSchema>
export type Restore = z.infer<typeof restoreSchema>
export type Welcome = Extract<ToWorker, { kind: 'welcome' }>

const codec = new Packr({ useRecords: false, structuredClone: false })

export function encodeControl(message: ToCoordinator | ToWorker): Uint8Array {
  return Uint8Array.from(codec.pack(message))
}

type Form = Extract<ToWorker, { kind: 'form' }>

/** What all ranks of a group are told alike is encoded once: N ranks hear of N peers. `rank` is last, so it is the rest. */
export function encodeForm(form: Omit<Form, 'rank'>): (rank: number) => Uint8Array {
  const alike = Uint8Array.from(codec.pack({ ...form, rank: 0 }).subarray(0, -1))
  return (rank) => Buffer.concat([alike, codec.pack(rank)])
}

/** Null where the bytes are no message of this direction. */
export const decodeToCoordinator = (bytes: Uint8Array): ToCoordinator | null => decode(toCoordinatorSchema, bytes)
export const decodeToWorker = (bytes: Uint8Array): ToWorker | null => decode(toWorkerSchema, bytes)

/** Version of a hello that may come from another version of this protocol; null for anything else. */
export function foreignVersion(bytes: Uint8Array): number | null {
  return decode(z.looseObject({ kind: z.literal('hello'), protocolVersion: natural }), bytes)?.protocolVersion ?? null
}

function decode<Message>(schema: z.ZodType<Message>, bytes: Uint8Array): Message | null {
  try {
    const result = schema.safeParse(codec.unpack(bytes))
    return result.success ? result.data : null
  } catch {
    return null // msgpackr throws on bytes that are no msgpack; the caller counts it
  }
}
