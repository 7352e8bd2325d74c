import { limits } from '../../shared/core/limits.ts'
import { makeSchedule } from '../../shared/core/schedule.ts'
import type { ImageDataset } from '../../shared/dataset/image-dataset.ts'
import { protocolVersion } from '../../shared/protocol/control.ts'
import { hubConnectionOf } from '../../shared/protocol/hub.ts'
import { Communicator } from '../../worker/communicator.ts'
import { type CommunicationThread, Link } from '../../worker/link.ts'
import { Session } from '../../worker/session.ts'
import { weightsSha256 } from '../../worker/step/checkpoint-files.ts'
import { CheckpointSender } from '../../worker/step/checkpoint-sender.ts'
import type { Group } from '../../worker/step/group.ts'
import { ModelState } from '../../worker/step/model-state.ts'
import { partsOf } from '../../worker/step/state-room.ts'
import { type StepResult, Trainer } from '../../worker/step/trainer.ts'
import type { Votes } from '../../worker/step/votes.ts'
import { counter, type FromThread } from '../../worker/thread-messages.ts'
import type { Workshop } from '../../worker/workshop.ts'
import type { SimulatedNetwork } from './simulated-network.ts'
import type { SimulatedProcess } from './simulated-process.ts'
import { SimulatedDataTransport, simulatedControlClient } from './simulated-sockets.ts'
import { toyBackend, toyModel, toySpec } from './toy-model.ts'

/** Moments of a step at which a worker may be killed. */
export type KillPoint = 'before-reduce' | 'between-updates' | 'before-commit' | 'in-checkpoint'

/** What a worker holds after a step. */
export interface Bits {
  readonly step: number
  /** Roll-backs of the run until then: they change the learning rates. */
  readonly rollbacks: number
  readonly sha256: string
}

/** What a simulation sees of a worker's steps. */
export interface StepObserver {
  /** 0-based step. */
  began(workerId: string, generation: number, step: number): void
  /** Step count after the commit, and the bits that it left. */
  committed(workerId: string, generation: number, state: Bits): void
  reaches(workerId: string, step: number, point: KillPoint): void
  /** Whether a weight of this worker changes by itself now. */
  flips(workerId: string, step: number): boolean
  /** Whether the rank with lane 0 is to compute NaN. */
  poisoned(step: number, rollbacks: number): boolean
}

export interface WorkerPlace {
  readonly workerId: string
  readonly processId: number
  readonly process: SimulatedProcess
  readonly network: SimulatedNetwork
  readonly coordinator: string
  readonly dataset: ImageDataset
  readonly computeMs: number
  /** Hosts over which workers are spread by their numbers. */
  readonly hosts: number
  readonly observer: StepObserver
  /** Filled in once there is a session. */
  readonly session: SimulatedSession
}

export interface SimulatedSession {
  drain(): void
}

/** The real session, trainer and communicator of a worker, on virtual time. Settles with the exit code. */
export async function runSimulatedWorker(place: WorkerPlace): Promise<number> {
  const { workerId, processId } = place
  const counters = new SharedArrayBuffer(4 * counter.count)
  const link = new Link(simulatedThread(place, counters), new Int32Array(counters))
  const warmUp = (welcome: Workshop['welcome'], to: Link, blobs: Workshop['blobs']) =>
    makeWorkshop(place, welcome, to, blobs)
  const session = new Session(link, warmUp, null, {
    ...{ kind: 'hello', protocolVersion, workerId, attempt: 0, runId: null, member: null, absence: null },
    ...{ host: 'simulated', processId, backend: 'toy 1', threads: 1, cores: 1, metrics: null },
  })
  place.session.drain = () => session.drain('asked to')
  try {
    return await session.run()
  } catch (error) {
    if (session.ended) return session.ended.failed ? 1 : 0
    throw error
  } finally {
    await link.close()
  }
}

function simulatedThread(place: WorkerPlace, counters: SharedArrayBuffer): CommunicationThread {
  const { workerId, processId, process, network, coordinator, hosts } = place
  let toMain: (message: FromThread) => void = () => {}
  const early: FromThread[] = []
  const communicator = new Communicator({
    data: { coordinator, workerId, connectTimeoutMs: limits.orphanMs, reconnectTimeoutMs: 10 * limits.orphanMs },
    counters: new Int32Array(counters),
    control: simulatedControlClient(network, process, coordinator, `${workerId}/${processId}`),
    transport: new SimulatedDataTransport(
      network,
      process,
      `sim://${workerId}/${processId}`,
      (other) => hostOf(other, hosts) === hostOf(workerId, hosts),
    ),
    openHub: () => simulatedControlClient(network, process, coordinator, `${hubConnectionOf(workerId)}/${processId}`),
    clock: process.clock,
    metrics: null,
    post(message) {
      if (message.kind === 'open') early.push(message)
      else network.time.after(0, () => process.enterMain(() => toMain(message)))
    },
    warn: () => {},
  })
  return {
    post: (message) => network.time.after(0, () => process.enter(() => communicator.handle(message))),
    onMessage(handler) {
      toMain = handler
      for (const message of early) network.time.after(0, () => process.enterMain(() => toMain(message)))
    },
    onEnd: () => {},
  }
}

/** Of a worker by its name, or its endpoint: that of its number. */
function hostOf(name: string, hosts: number): number {
  return Number(/worker-(\d+)/.exec(name)?.[1] ?? 0) % hosts
}

function makeWorkshop(
  place: WorkerPlace,
  welcome: Workshop['welcome'],
  link: Link,
  blobs: Workshop['blobs'],
): Workshop {
  const { workerId, process, dataset, computeMs, observer } = place
  const { config, manifest } = welcome
  const state = new ModelState(toySpec, 65_536, partsOf(config, 1))
  state.compress(config)
  const pixels = dataset.height * dataset.width
  const source = {
    sampleCount: manifest.sampleCount,
    sampleBytes: pixels,
    rows: (ids: readonly number[]) =>
      Promise.resolve(ids.map((id) => dataset.train.images.subarray(id * pixels, (id + 1) * pixels))),
    labels: (ids: readonly number[]) => Promise.resolve(Uint8Array.from(ids, (id) => dataset.train.labels[id] ?? 0)),
  }
  const schedule = makeSchedule(config, manifest.sampleCount)
  const at = { step: 0, leads: false }
  const backend = toyBackend(
    () => process.compute(computeMs),
    () => at.leads && observer.poisoned(at.step, config.rollbacks),
  )
  const trainer = new Trainer(config, toyModel, state, backend, source, schedule, process.clock)
  const take = trainer.step.bind(trainer)
  trainer.step = async (step: number, group: Group, votes: Votes): Promise<StepResult> => {
    at.step = step
    at.leads = group.rank === 0
    observer.began(workerId, group.generation, step)
    const weights = state.slots[0]?.weights
    if (weights && observer.flips(workerId, step)) weights[0] = (weights[0] ?? 0) + 1
    const phases = schedule.plan(step).batches.length + 1
    let reduced = 0
    const watched: Group = {
      ...group,
      async allReduce(...bucket) {
        observer.reaches(workerId, step, reduced === 0 ? 'before-reduce' : 'between-updates')
        await process.clock.sleep(0)
        const bytes = await group.allReduce(...bucket)
        if (++reduced === phases) observer.reaches(workerId, step, 'before-commit')
        await process.clock.sleep(0)
        return bytes
      },
    }
    const result = await take(step, watched, votes)
    const { step: committed } = result.committed
    const bits = { step: committed, rollbacks: config.rollbacks, sha256: weightsSha256(state) }
    observer.committed(workerId, group.generation, bits)
    return result
  }
  const sender = new CheckpointSender(toySpec, (message, bytes) => {
    link.send(message, bytes)
    if (message.kind === 'checkpointPiece') observer.reaches(workerId, message.step, 'in-checkpoint')
  })
  return {
    ...{ welcome, backend, state, schedule, trainer, sender, blobs },
    ...{ clock: process.clock, threads: 1, trace: null, pipeline: null, windows: null, copies: null },
    close: () => Promise.resolve(),
  }
}
