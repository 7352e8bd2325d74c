import { readFileSync } from 'node:fs'
import { parse as parseYaml } from 'yaml'
import { z } from 'zod'
import { usage } from '../../shared/core/config.ts'
import { messageOf } from '../../shared/core/errors.ts'
import { draws, randomStream } from '../../shared/core/random.ts'

export const killPoints = ['before-reduce', 'between-updates', 'before-commit', 'in-checkpoint'] as const

const worker = z.string().min(1)
const duration = z.number().positive().max(600)
const at = z.union([z.strictObject({ step: z.number().int().min(1) }), z.strictObject({ seconds: z.number().min(0) })])

/** `at`: a committed step, or seconds after the first one. `seconds`: how long it lasts. */
export const faultSchema = z.discriminatedUnion('kind', [
  /** SIGKILL; `point`: at this moment of the step (simulation only). */
  z.strictObject({ kind: z.literal('kill'), at, worker, point: z.enum(killPoints).optional() }),
  /** SIGSTOP; SIGCONT after `seconds`, or by a `cont` of its own. */
  z.strictObject({ kind: z.literal('stop'), at, worker, seconds: duration.optional() }),
  z.strictObject({ kind: z.literal('cont'), at, worker }),
  /** Computes `factor` times as slowly. */
  z.strictObject({ kind: z.literal('slow'), at, worker, factor: z.number().min(1).max(20), seconds: duration }),
  /** Reaches nobody, and nobody reaches it; `from`: only these two do not reach each other. */
  z.strictObject({ kind: z.literal('partition'), at, worker, from: worker.optional(), seconds: duration }),
  /** Its connections break, and what is on its way with them. */
  z.strictObject({ kind: z.literal('drop'), at, worker }),
  /** Everything from and to it comes so much later. */
  z.strictObject({ kind: z.literal('delay'), at, worker, ms: z.number().min(1).max(1000), seconds: duration }),
  z.strictObject({ kind: z.literal('coordinator-kill'), at }),
  /** Nothing more can be written to the run's folder. */
  z.strictObject({ kind: z.literal('disk-full'), at, seconds: duration }),
  /** One more worker. */
  z.strictObject({ kind: z.literal('join'), at, worker }),
  /** A worker is asked to go. */
  z.strictObject({ kind: z.literal('leave'), at, worker }),
  /** One weight of a worker changes by itself (simulation only). */
  z.strictObject({ kind: z.literal('flip'), at: z.strictObject({ step: z.number().int().min(1) }), worker }),
  /** A rank computes NaN in so many steps from this one on, until the run has been rolled back so often (simulation only). */
  z.strictObject({
    kind: z.literal('nan'),
    at: z.strictObject({ step: z.number().int().min(1) }),
    steps: z.number().int().min(1),
    rollbacks: z.number().int().min(1).optional(),
  }),
])
export type Fault = z.infer<typeof faultSchema>
export type FaultKind = Fault['kind']
const faultKinds = faultSchema.options.map((option) => option.shape.kind.value)

const planSchema = z.strictObject({ faults: z.array(faultSchema).max(1000) })

/** A plan from a YAML or JSON file: `faults`, a list. A fault that needs a worker and names none gets one by the seed. */
export function readPlan(path: string, seed: number, workers: number): Fault[] {
  let value: unknown
  try {
    value = parseYaml(readFileSync(path, 'utf8'))
  } catch (error) {
    throw usage(`--plan ${path}: ${messageOf(error).split('\n')[0]}`)
  }
  const next = draws(seed, randomStream.faults, 1)
  const list: unknown = (value as { faults?: unknown } | null)?.faults
  if (Array.isArray(list))
    for (const fault of list as Record<string, unknown>[])
      if (fault && typeof fault === 'object' && !unaddressed.has(String(fault.kind)))
        fault.worker ??= `worker-${next() % workers}`
  const result = planSchema.safeParse(value)
  if (result.success) return result.data.faults
  const [issue] = result.error.issues
  const unknown = issue?.path.at(-1) === 'kind'
  const wanted = unknown ? `write one of ${faultKinds.join(', ')}` : issue?.message.toLowerCase()
  throw usage(`--plan ${path}: ${issue?.path.join('.') || 'faults'}: ${wanted}`)
}

const unaddressed = new Set(['coordinator-kill', 'disk-full', 'nan'])

export interface PlanShape {
  readonly kinds: readonly FaultKind[]
  readonly faults: number
  readonly workers: number
  readonly steps: number
}

/** The same seed, the same faults. */
export function planFromSeed(seed: number, { kinds, faults, workers, steps }: PlanShape): Fault[] {
  const next = draws(seed, randomStream.faults, 0)
  const below = (count: number) => next() % count
  const between = (low: number, high: number) => low + ((high - low) * next()) / 2 ** 32
  let joined = workers
  return Array.from({ length: faults }, (): Fault => {
    const kind = kinds[below(kinds.length)] ?? 'kill'
    const when = { step: 1 + below(Math.max(1, Math.floor(steps * 0.9))) }
    const one = `worker-${below(workers)}`
    const other = `worker-${below(workers)}`
    const seconds = Math.round(between(0.2, 8) * 10) / 10
    switch (kind) {
      case 'kill': {
        const point = killPoints[below(2 * killPoints.length)]
        return { kind, at: when, worker: one, ...(point ? { point } : {}) }
      }
      case 'cont':
      case 'stop':
        return { kind: 'stop', at: when, worker: one, seconds }
      case 'slow':
        return { kind, at: when, worker: one, factor: 2 + below(5), seconds }
      case 'partition':
        return { kind, at: when, worker: one, ...(other === one || below(3) > 0 ? {} : { from: other }), seconds }
      case 'delay':
        return { kind, at: when, worker: one, ms: 5 + below(200), seconds }
      case 'coordinator-kill':
        return { kind, at: when }
      case 'disk-full':
        return { kind, at: when, seconds }
      case 'join':
        return { kind, at: when, worker: `worker-${joined++}` }
      case 'nan':
        return { kind, at: when, steps: 1 + below(3) }
      case 'flip':
      case 'drop':
      case 'leave':
        return { kind, at: when, worker: one }
      default:
        return kind satisfies never
    }
  }).sort((a, b) => step(a) - step(b))
}

function step(fault: Fault): number {
  return 'step' in fault.at ? fault.at.step : 0
}
