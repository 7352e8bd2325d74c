import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RingleaderError } from '../../shared/core/errors.ts'
import { openControlClient } from '../../shared/transport/control-socket.ts'
import { onInterrupt } from '../process/interrupt.ts'
import type { FromCoordinatorChild, ToCoordinatorChild } from './coordinator-child.ts'
import { ScriptedWorker, type Standing } from './scripted-worker.ts'
import { rounded } from './spread.ts'

/** What a coordinator did in one phase of a load. */
export interface LoadFigures {
  readonly workers: number
  readonly phase: string
  /** Until the last worker had its answer. */
  readonly ms: number
  /** Processor time of the coordinator; in parts of a core over the phase. */
  readonly cpuMs: number
  readonly cores: number
}

const longestMs = 120_000
/** Of the workers, those that are lost at once and come back. */
const lostPart = 0.3
/** As worker/group-run.ts has it: the first ranks tell at once, of the others each tells rarely. */
const promptRanks = 4
const promptMs = 50
const othersMs = 5000

/** Puts a real coordinator, in a process of its own, under the load of many connections. Tells each phase. */
export async function measureCoordinator(
  count: number,
  seconds: number,
  each: (figures: LoadFigures) => void,
): Promise<void> {
  const load = await CoordinatorLoad.start(count)
  const phase = async (name: string, work: () => Promise<void>) => {
    const [cpuBefore, before] = [await load.cpuMs(), performance.now()]
    await work()
    const ms = performance.now() - before
    const cpuMs = (await load.cpuMs()) - cpuBefore
    each({ workers: count, phase: name, ms: rounded(ms), cpuMs: rounded(cpuMs), cores: rounded(cpuMs / ms, 2) })
  }
  try {
    await phase('join', () => load.join(count))
    await phase('form', () => load.ready())
    await phase('heartbeats', () => load.idle(seconds))
    await phase('heartbeats and commits', () => load.commit(seconds))
    await phase('mass failure', () => load.lose(Math.floor(count * lostPart)))
    await phase('mass join', async () => {
      await load.join(Math.floor(count * lostPart))
      await load.ready()
    })
  } finally {
    await load.end()
  }
}

class CoordinatorLoad {
  #workers: ScriptedWorker[] = []
  readonly #child: ChildProcess
  readonly #folder: string
  readonly #endpoint: string
  readonly #takeBack: () => void
  #changed: () => void = () => {}
  #names = 0
  #step = 0

  static async start(count: number): Promise<CoordinatorLoad> {
    const folder = mkdtempSync(join(tmpdir(), 'ringleader-bench-'))
    const child = fork(new URL('./coordinator-child.js', import.meta.url), {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    const answer = await ask(child, { kind: 'start', workers: count, folder: join(folder, 'run') })
    return new CoordinatorLoad(child, folder, answer.kind === 'listening' ? answer.endpoint : '')
  }

  private constructor(child: ChildProcess, folder: string, endpoint: string) {
    this.#child = child
    this.#folder = folder
    this.#endpoint = endpoint
    this.#takeBack = onInterrupt(() => child.kill('SIGKILL'))
  }

  async cpuMs(): Promise<number> {
    const answer = await ask(this.#child, { kind: 'usage' })
    return answer.kind === 'usage' ? answer.cpuMs : 0
  }

  /** So many more workers say hello at once, and are welcomed. */
  async join(count: number): Promise<void> {
    for (let index = 0; index < count; index++) {
      const workerId = `worker-${this.#names++}`
      const worker = new ScriptedWorker(workerId, openControlClient(this.#endpoint, workerId), () => this.#changed())
      this.#workers.push(worker)
      worker.hello()
    }
    await this.#all('welcome', ({ standing }) => standing !== 'new')
  }

  /** Those that are new are ready; all step once the group with them has started. */
  async ready(): Promise<void> {
    const before = Math.max(...this.#workers.map(({ generation }) => generation))
    for (const worker of this.#workers) if (worker.standing === 'welcome') worker.ready()
    await this.#all('stepping', ({ standing, generation }) => standing === 'stepping' && generation > before)
  }

  async idle(seconds: number): Promise<void> {
    await this.#repeat(seconds, (worker) => worker.heartbeat())
  }

  /** Each rank tells of its commits as a worker does, of steps that take 50 ms. */
  async commit(seconds: number): Promise<void> {
    const first = this.#step
    const started = performance.now()
    const due = this.#workers.map(({ rank }) => (rank < promptRanks ? 0 : (othersMs * rank) / this.#workers.length))
    const told = this.#workers.map(() => first)
    await this.#repeat(
      seconds,
      (worker, index) => {
        const now = performance.now() - started
        if (Math.floor(now / promptMs) % 5 === index % 5) worker.heartbeat()
        const step = first + Math.floor(now / promptMs)
        if (now < (due[index] ?? 0) || step === told[index]) return
        worker.committed(
          Array.from({ length: step - (told[index] ?? 0) }, (_, more) => committedStep((told[index] ?? 0) + more + 1)),
        )
        told[index] = step
        due[index] = now + (worker.rank < promptRanks ? promptMs : othersMs)
      },
      promptMs,
    )
    this.#step = Math.max(...told)
    for (const [index, worker] of this.#workers.entries())
      if ((told[index] ?? 0) < this.#step) worker.committed([committedStep(this.#step)])
  }

  /** The first ones vanish; whoever is left suspects one of them. Until the others step again. */
  async lose(count: number): Promise<void> {
    const lost = this.#workers.splice(0, count)
    const before = Math.max(...this.#workers.map(({ generation }) => generation))
    await Promise.all(lost.map((worker) => worker.close()))
    for (const [index, worker] of this.#workers.entries()) worker.suspect(lost[index % count]?.workerId ?? '')
    await this.#all('stepping', ({ standing, generation }) => standing === 'stepping' && generation > before)
  }

  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    if (this.#child.exitCode === null && this.#child.connected)
      this.#child.send({ kind: 'end' } satisfies ToCoordinatorChild)
    const patience = setTimeout(() => this.#child.kill('SIGKILL'), 5000)
    if (this.#child.exitCode === null && this.#child.signalCode === null) await ended
    clearTimeout(patience)
    await Promise.all(this.#workers.map((worker) => worker.close()))
    this.#takeBack()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Meanwhile nobody falls silent. */
  #all(what: Standing, holds: (worker: ScriptedWorker) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const beats = setInterval(() => this.#beat(), 1000)
      const finish = (error?: Error) => {
        clearTimeout(timer)
        clearInterval(beats)
        this.#changed = () => {}
        if (error) reject(error)
        else resolve()
      }
      const late = () =>
        `${this.#workers.filter((worker) => !holds(worker)).length} workers were not "${what}" within ${longestMs / 1000} s`
      const timer = setTimeout(() => finish(new RingleaderError('bench', late())), longestMs)
      let left = 0
      this.#changed = () => {
        if (--left > 0) return // as many have to change at least
        left = this.#workers.filter((worker) => !holds(worker)).length
        if (left === 0) finish()
      }
      this.#changed()
    })
  }

  #beat(): void {
    for (const worker of this.#workers) if (worker.standing !== 'new') worker.heartbeat()
  }

  /** Every worker does it once in each interval, one after the other over the interval. */
  async #repeat(
    seconds: number,
    run: (worker: ScriptedWorker, index: number) => void,
    intervalMs = 250,
  ): Promise<void> {
    const started = performance.now()
    let next = 0
    while (performance.now() - started < seconds * 1000) {
      const due = ((performance.now() - started) / intervalMs) * this.#workers.length
      for (; next < due; next++) {
        const index = next % this.#workers.length
        const worker = this.#workers[index]
        if (worker) run(worker, index)
      }
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

function committedStep(step: number) {
  return {
    ...{
      step,
      time: Date.now(),
      epoch: 0,
      batches: [],
      images: 128,
      scalars: { discriminatorLoss: 0.7, generatorLoss: 0.7 },
    },
    ...{
      skipped: false,
      seconds: 0.05,
      allReduceSeconds: 0.01,
      phaseSeconds: { forward: 0.02, backward: 0.02 },
      allReduceBytes: 4e7,
    },
  }
}

function ask(child: ChildProcess, message: ToCoordinatorChild): Promise<FromCoordinatorChild> {
  return new Promise((resolve, reject) => {
    const fail = () => reject(new RingleaderError('bench', 'the coordinator of the measurement has ended; see above'))
    child.once('exit', fail)
    child.once('message', (answer: FromCoordinatorChild) => {
      child.off('exit', fail)
      resolve(answer)
    })
    child.send(message)
  })
}
