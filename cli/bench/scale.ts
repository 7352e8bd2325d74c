import { type Algorithm, chooseAlgorithm } from '../../shared/collective/algorithm.ts'
import { limits } from '../../shared/core/limits.ts'
import { type StepModel, stepMs } from '../../shared/core/step-model.ts'
import type { Topology } from '../../shared/protocol/topology.ts'
import type { LinkModel } from '../simulation/link-model.ts'
import { simulateAllReduce } from '../simulation/simulated-all-reduce.ts'
import { sizeName } from './sizes.ts'
import { rounded } from './spread.ts'
import { row } from './table.ts'

/** Of one algorithm on so many ranks; simulated. */
export interface ScaleFigures {
  readonly worldSize: number
  readonly bytes: number
  readonly algorithm: Algorithm
  /** Whether `--algorithm auto` takes it here. */
  readonly auto: boolean
  readonly ms: number
  readonly busbwGBps: number
  readonly messages: number
  /** With a measured step: a step's time, images in a second, and that by what as many workers apart would do. */
  readonly step?: { readonly ms: number; readonly imagesPerSecond: number; readonly efficiency: number }
}

/** What is computed beside the all-reduce. */
export interface MeasuredStep {
  readonly model: StepModel
  readonly globalBatch: number
  /** All-reduces of the size in a step. */
  readonly reductions: number
}

/** A simulation takes about 15 µs a message. */
const mostMessages = 1 << 22

/** Messages that a simulation has to carry, at most. */
export function plannedMessages(algorithm: Algorithm, worldSize: number, bytes: number): number {
  const pairs = worldSize * (worldSize - 1)
  const segments = (part: number) => Math.ceil(part / limits.segmentBytes)
  return algorithm === 'exchange' ? pairs * segments(bytes) : 2 * pairs * segments(bytes / worldSize)
}

/** Null where it would take too long. */
export async function scaleFigures(
  algorithm: Algorithm,
  worldSize: number,
  bytes: number,
  links: LinkModel,
  measured: MeasuredStep | null,
): Promise<ScaleFigures | null> {
  if (plannedMessages(algorithm, worldSize, bytes) > mostMessages) return null
  const { ms, messages } = await simulateAllReduce(algorithm, worldSize, bytes, links)
  const circumstances = { choice: 'auto', topology: topologyOfModel(links, worldSize), onePlace: false } as const
  return {
    ...{ worldSize, bytes, algorithm, auto: chooseAlgorithm(circumstances, bytes).name === algorithm },
    ...{ ms: rounded(ms), busbwGBps: rounded((bytes / ms / 1e6) * 2 * (1 - 1 / worldSize)), messages },
    ...(measured ? { step: predicted(measured, worldSize, ms) } : {}),
  }
}

/** What the ranks would measure. */
function topologyOfModel({ ranksPerHost, local, latencyMs, bytesPerMs }: LinkModel, worldSize: number): Topology {
  const speed = (link: Pick<LinkModel, 'latencyMs' | 'bytesPerMs'>) => ({
    latencyUs: 1000 * link.latencyMs,
    bytesPerSecond: 1000 * link.bytesPerMs,
  })
  const hosts = Array.from({ length: worldSize }, (_, rank) => Math.floor(rank / ranksPerHost))
  return { hosts, inside: speed(local), between: speed({ latencyMs, bytesPerMs }), hub: false }
}

function predicted({ model, globalBatch, reductions }: MeasuredStep, worldSize: number, ms: number) {
  const step = stepMs(model, worldSize, reductions * ms)
  return {
    ms: rounded(step),
    imagesPerSecond: rounded((1000 * globalBatch) / step),
    efficiency: rounded(stepMs(model, 1, 0) / step / worldSize, 3),
  }
}

export function scaleHeading(bytes: number, measured: MeasuredStep | null): string {
  const columns = ['ranks', 'algorithm', 'ms', 'busbw GB/s', 'messages']
  const more = ['step ms', 'images/s', 'efficiency']
  return `all-reduce of ${sizeName(bytes)}, simulated (*: what auto takes)\n${row(measured ? [...columns, ...more] : columns)}`
}

export function scaleLine({ worldSize, algorithm, auto, ms, busbwGBps, messages, step }: ScaleFigures): string {
  const cells = [worldSize, `${algorithm}${auto ? '*' : ' '}`, ms, busbwGBps, messages]
  return row(step ? [...cells, step.ms, Math.round(step.imagesPerSecond), step.efficiency] : cells)
}
