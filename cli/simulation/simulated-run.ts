import type { DealRule } from '../../coordinator/membership/lane-dealer.ts'
import { prepareRun, type RunRequest } from '../../coordinator/prepare-run.ts'
import { RunRecord } from '../../coordinator/run-record.ts'
import { Shell } from '../../coordinator/shell.ts'
import type { RunObserver, Summary } from '../../coordinator/summary.ts'
import { messageOf } from '../../shared/core/errors.ts'
import { draws, randomStream } from '../../shared/core/random.ts'
import type { ImageDataset } from '../../shared/dataset/image-dataset.ts'
import type { Fault } from '../chaos/plan.ts'
import { Restarts } from '../process/restarts.ts'
import type { Invariants } from './invariants.ts'
import { SimulatedNetwork } from './simulated-network.ts'
import { SimulatedProcess } from './simulated-process.ts'
import { simulatedControlServer } from './simulated-sockets.ts'
import { type Bits, runSimulatedWorker, type SimulatedSession } from './simulated-worker.ts'
import { VirtualTime } from './virtual-time.ts'

const address = 'sim://coordinator'
const faultMs = 3000
const computeMs = 8

export interface SimulationSettings {
  readonly seed: number
  readonly workers: number
  readonly hosts: number
  readonly request: RunRequest
  readonly dataset: ImageDataset
  readonly faults: readonly Fault[]
  /** Whether killed workers are started again. */
  readonly restarts: boolean
  /** When lanes are dealt anew. */
  readonly deal: DealRule
  /** Told what happens, line by line. */
  readonly trace: ((line: string) => void) | null
}

interface SimulatedWorker {
  readonly process: SimulatedProcess
  readonly processId: number
  readonly session: SimulatedSession
}

/** A coordinator, its workers and whoever watches over them, all in this process, on virtual time, under faults. */
export class SimulatedRun {
  readonly time = new VirtualTime()
  summary: Summary | null = null
  readonly fired: Fault[] = []
  readonly #settings: SimulationSettings
  readonly #invariants: Invariants
  readonly #random: () => number
  readonly #trace: ((line: string) => void) | null
  readonly #network: SimulatedNetwork
  readonly #workers = new Map<string, SimulatedWorker>()
  readonly #restarts = new Map<string, Restarts>()
  readonly #untold: { workerId: string; processId: number; reason: string }[] = []
  #coordinator: { process: SimulatedProcess; shell: Shell; record: RunRecord } | null = null
  #processes = 0
  #waiting: Fault[]
  /** Kills that wait for their moment in a step. */
  readonly #armed = new Map<string, Fault>()
  #furthest = 0
  readonly #leavers = new Set<string>()

  constructor(settings: SimulationSettings, invariants: Invariants) {
    this.#settings = settings
    this.#invariants = invariants
    const next = draws(settings.seed, randomStream.network, 0)
    this.#random = () => next() / 2 ** 32
    const { trace } = settings
    this.#trace = trace && ((line) => trace(`${this.time.now.toFixed(1).padStart(9)} ${line}`))
    this.#network = new SimulatedNetwork(this.time, this.#random, this.#trace)
    this.#waiting = [...settings.faults]
  }

  /** False where the run did not come to its end within so many virtual milliseconds. */
  async run(limitMs: number): Promise<boolean> {
    this.#startCoordinator(false)
    for (let index = 0; index < this.#settings.workers; index++) this.#startWorker(`worker-${index}`)
    const ended = await this.time.run(() => this.summary !== null, limitMs)
    this.#coordinator?.record.release()
    return ended
  }

  /** How things stand, for a run that did not come to its end. */
  status(): object | null {
    return this.#coordinator?.shell.status() ?? null
  }

  #startCoordinator(takeOver: boolean): void {
    const process = this.#process('coordinator')
    this.#trace?.(takeOver ? 'the coordinator takes over' : 'the coordinator starts')
    const { request, workers, dataset, deal } = this.#settings
    const again: RunRequest = { ...request, options: {}, runDir: null, name: null, resume: request.runDir, takeOver }
    const run = prepareRun(
      takeOver ? again : request,
      () => {},
      () => dataset,
    )
    const record = new RunRecord(run, this.#observer(), this.time.now)
    const server = simulatedControlServer(this.#network, process, address)
    const shell = new Shell(run, record, server, { startWorkers: workers, faultMs, deal }, process.clock)
    this.#coordinator = { process, shell, record }
    process.onEnd(() => record.release())
    for (const exit of this.#untold.splice(0)) shell.workerExited(exit)
    shell.run().then(
      (summary) => {
        this.summary = summary
      },
      (error: unknown) => this.#invariants.violated(`the coordinator failed: ${messageOf(error)}`),
    )
  }

  #observer(): RunObserver {
    return {
      group: () => {},
      committed: () => {},
      checkpoint: () => {},
      incident: (reason) => this.#invariants.incident(reason, this.time.now, this.#reachable()),
    }
  }

  /** Workers that live and can be talked to. */
  #reachable(): string[] {
    const coordinator = this.#coordinator?.process
    return [...this.#workers].flatMap(([workerId, { process }]) => {
      const there =
        process.alive && process.stoppedSince === null && coordinator && !this.#network.isCut(process, coordinator)
      return there ? [workerId] : []
    })
  }

  #process(name: string): SimulatedProcess {
    const process = new SimulatedProcess(name, this.time)
    process.onEnd(() => this.#network.ended(process))
    return process
  }

  #startWorker(workerId: string): void {
    const process = this.#process(workerId)
    const processId = ++this.#processes
    const restarts = this.#restarts.get(workerId) ?? new Restarts()
    this.#restarts.set(workerId, restarts)
    restarts.started(this.time.now)
    const session: SimulatedSession = { drain: () => {} }
    this.#workers.set(workerId, { process, processId, session })
    this.#invariants.started(workerId)
    process.onEnd(() => this.#workerEnded(workerId, processId, 'killed'))
    const place = {
      ...{ workerId, processId, process, network: this.#network, coordinator: address, computeMs },
      ...{ dataset: this.#settings.dataset, hosts: this.#settings.hosts, observer: this, session },
    }
    const boot = () =>
      runSimulatedWorker(place).then(
        (code) => {
          if (code !== 0) return process.kill()
          process.alive = false
          this.#network.ended(process)
        },
        (error: unknown) => {
          if (process.alive) this.#invariants.violated(`${workerId} failed: ${messageOf(error)}`)
          process.kill()
        },
      )
    this.time.after(200 + 800 * this.#random(), () => process.enter(() => void boot()))
  }

  /** As `train` does: the coordinator is told, and the worker is started again. */
  #workerEnded(workerId: string, processId: number, reason: string): void {
    if (this.summary) return
    this.time.after(1 + 30 * this.#random(), () => {
      const exit = { workerId, processId, reason }
      if (this.#coordinator?.process.alive) this.#coordinator.shell.workerExited(exit)
      else this.#untold.push(exit)
    })
    const delayMs = this.#settings.restarts ? this.#restarts.get(workerId)?.delayMs(this.time.now, true) : null
    if (delayMs != null) return this.time.after(delayMs + 10, () => this.#startWorker(workerId))
    if ([...this.#workers.values()].some(({ process }) => process.alive)) return
    this.time.after(50, () =>
      this.#coordinator?.shell.apply({ kind: 'failRun', reason: 'no worker comes up any more' }),
    )
  }

  began(workerId: string, generation: number, step: number): void {
    this.#invariants.began(workerId, generation, step)
  }

  committed(workerId: string, generation: number, bits: Bits): void {
    const { step } = bits
    this.#trace?.(`${workerId} commits step ${step} in generation ${generation}`)
    this.#invariants.committed(workerId, generation, bits)
    if (this.#furthest === 0)
      for (const fault of this.#waiting.filter(({ at }) => 'seconds' in at))
        this.time.after('seconds' in fault.at ? fault.at.seconds * 1000 : 0, () => this.#fire(fault))
    this.#furthest = Math.max(this.#furthest, step)
    const due = (fault: Fault) => 'step' in fault.at && fault.at.step <= this.#furthest
    for (const fault of this.#waiting.filter(due)) this.time.after(20 * this.#random(), () => this.#fire(fault))
    this.#waiting = this.#waiting.filter((fault) => 'step' in fault.at && !due(fault))
  }

  reaches(workerId: string, _step: number, point: string): void {
    const armed = this.#armed.get(workerId)
    if (armed?.kind !== 'kill' || armed.point !== point) return
    this.#armed.delete(workerId)
    this.#kill(armed)
  }

  poisoned(step: number, rollbacks: number): boolean {
    const poisoned = this.#settings.faults.find(
      (fault) =>
        fault.kind === 'nan' &&
        step >= fault.at.step &&
        step < fault.at.step + fault.steps &&
        rollbacks < (fault.rollbacks ?? Number.POSITIVE_INFINITY),
    )
    if (poisoned && !this.fired.includes(poisoned)) this.fired.push(poisoned)
    return poisoned !== undefined
  }

  flips(workerId: string, step: number): boolean {
    const fault = this.#settings.faults.find(
      (some) => some.kind === 'flip' && some.worker === workerId && step >= some.at.step && !this.fired.includes(some),
    )
    if (!fault) return false
    this.fired.push(fault)
    this.#invariants.corrupted()
    return true
  }

  #kill(fault: Extract<Fault, { kind: 'kill' }>): void {
    this.fired.push(fault)
    this.#workers.get(fault.worker)?.process.kill()
  }

  #fire(fault: Fault): void {
    this.#trace?.(`fault: ${JSON.stringify(fault)}`)
    if (this.summary || fault.kind === 'nan' || fault.kind === 'flip' || fault.kind === 'disk-full') return
    if (fault.kind === 'coordinator-kill') return this.#killCoordinator(fault)
    this.#invariants.blame(fault.worker, this.time.now, 'seconds' in fault ? (fault.seconds ?? 60) : 0)
    if (fault.kind === 'join') {
      this.fired.push(fault)
      return this.#startWorker(fault.worker)
    }
    const worker = this.#workers.get(fault.worker)
    if (!worker?.process.alive) return
    const { process } = worker
    if (fault.kind === 'kill' && fault.point) return void this.#armed.set(fault.worker, fault)
    if (fault.kind === 'kill') return this.#kill(fault)
    if (fault.kind === 'leave' && !this.#leaves(fault.worker)) return
    this.fired.push(fault)
    const later = (seconds: number, work: () => void) => this.time.after(seconds * 1000, work)
    switch (fault.kind) {
      case 'stop':
        process.stop()
        this.#network.stopped()
        return fault.seconds === undefined ? undefined : later(fault.seconds, () => process.continue())
      case 'cont':
        return process.continue()
      case 'slow':
        process.slowness = fault.factor
        return later(fault.seconds, () => {
          process.slowness = 1
        })
      case 'partition':
        if (fault.from) this.#invariants.blame(fault.from, this.time.now, fault.seconds)
        this.#network.cut(process, fault.from)
        return later(fault.seconds, () => this.#network.heal(process, fault.from))
      case 'drop':
        return this.#network.reset(process)
      case 'delay':
        this.#network.delay(process, fault.ms)
        return later(fault.seconds, () => this.#network.delay(process, 0))
      case 'leave':
        return worker.session.drain()
      default:
        fault satisfies never
    }
  }

  /** False for the last one: nobody would be left to end the run. */
  #leaves(workerId: string): boolean {
    const left = [...this.#workers.keys()].filter((id) => id !== workerId && !this.#leavers.has(id))
    if (left.length > 0) this.#leavers.add(workerId)
    return left.length > 0
  }

  #killCoordinator(fault: Fault): void {
    if (!this.#coordinator?.process.alive) return
    this.fired.push(fault)
    this.#coordinator.process.kill()
    this.time.after(100 + 900 * this.#random(), () => this.#startCoordinator(true))
  }
}
