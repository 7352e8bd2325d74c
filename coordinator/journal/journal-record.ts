import { z } from 'zod'
import { committedStepSchema, stateIdentitySchema } from '../../shared/protocol/control.ts'
import { topologySchema } from '../../shared/protocol/topology.ts'
import { coverageSchema, elapsedSchema } from '../checkpoint/checkpoint-store.ts'
import { notedGoodputSchema } from '../goodput/parts.ts'
import { stabilityStateSchema } from '../stability/stability.ts'

const natural = z.number().int().min(0)

/** `lanes`: of its batch, or of its pipeline's. */
const memberSchema = z.object({ workerId: z.string(), endpoint: z.string(), lanes: natural.default(0) })
export type JournalMember = z.infer<typeof memberSchema>

/** What was decided to do about an alarm. It is over when a group forms after it. */
export const interventionSchema = z.object({
  action: z.enum(['lower-lr', 'rollback', 'stop']),
  illness: z.string(),
  /** Step at which it was decided, and the one that the run goes on from. */
  step: natural,
  back: natural,
  /** Times that the rates are lowered, this time included. */
  rollbacks: natural,
  reason: z.string(),
})
export type Intervention = z.infer<typeof interventionSchema>

/** All of it: what the records before would add up to. */
const snapshotSchema = z.object({
  kind: z.literal('snapshot'),
  generation: natural,
  /** By rank; empty before the first group. */
  group: z.array(memberSchema),
  /** Whether the group was told to step. */
  started: z.boolean(),
  topology: topologySchema,
  state: stateIdentitySchema.nullable(),
  storedStep: natural,
  ledger: z.object({ step: natural, finishedEpochs: coverageSchema }),
  elapsed: elapsedSchema,
  losses: z.record(z.string(), z.number()),
  /** Skipped steps in a row, up to the last one. */
  skips: natural,
  score: z.number().nullable(),
  held: z.boolean().default(false),
  stability: stabilityStateSchema,
  intervention: interventionSchema.nullable(),
})
export type Snapshot = z.infer<typeof snapshotSchema>

export const journalRecordSchema = z.discriminatedUnion('kind', [
  snapshotSchema,
  z.object({
    kind: z.literal('formed'),
    generation: natural,
    group: z.array(memberSchema),
    state: stateIdentitySchema,
    /** Nothing but whether it goes through the hub is known before the start. */
    topology: topologySchema,
  }),
  z.object({ kind: z.literal('started'), generation: natural, topology: topologySchema }),
  z.object({
    kind: z.literal('committed'),
    generation: natural,
    step: committedStepSchema,
    /** What an incident before this step has cost. */
    incidentSeconds: z.number(),
  }),
  z.object({ kind: z.literal('rewound'), step: natural }),
  /** Somebody has asked for a pause, or for its end. */
  z.object({ kind: z.literal('held'), held: z.boolean() }),
  z.object({ kind: z.literal('goodput'), goodput: notedGoodputSchema }),
  z.object({ kind: z.literal('inspected'), step: natural, figures: z.record(z.string(), z.number()) }),
  z.object({ kind: z.literal('intervened'), intervention: interventionSchema }),
])
export type JournalRecord = z.infer<typeof journalRecordSchema>
