import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { stepName } from '../../coordinator/checkpoint/checkpoint-store.ts'
import type { EvaluatedCheckpoint, FolderRequest } from '../evaluate-folder.ts'

export interface EvaluationsSettings {
  /** Folder of the run's checkpoints. */
  readonly checkpoints: string
  /** Steps between evaluations; 0: none. */
  readonly every: number
  /** The last one is evaluated too. */
  readonly totalSteps: number
  readonly request: Omit<FolderRequest, 'checkpoint'>
  readonly done: (evaluated: EvaluatedCheckpoint) => void
  readonly failed: (step: number, reason: string) => void
}

/**
 * Evaluates checkpoints beside the training: in a process of its own, one at a time. Of those that come meanwhile the newest
 * waits and the others are left out, so that evaluations that are slower than the training fall behind by one at most.
 */
export class Evaluations {
  readonly #settings: EvaluationsSettings
  #next: number | null = null
  #working: Promise<void> | null = null
  #child: ChildProcess | null = null
  #stopped = false

  constructor(settings: EvaluationsSettings) {
    this.#settings = settings
  }

  /** A checkpoint was stored. */
  stored(step: number): void {
    const { every, totalSteps } = this.#settings
    if (this.#stopped || every === 0 || (step % every !== 0 && step !== totalSteps)) return
    this.#next = step
    this.#working ??= this.#work().finally(() => {
      this.#working = null
    })
  }

  /** Settles when the last one is evaluated. */
  async finish(): Promise<void> {
    await this.#working
  }

  /** Ends the one under way; there are no more. */
  stop(): void {
    this.#stopped = true
    this.#next = null
    this.#child?.kill('SIGKILL')
  }

  async #work(): Promise<void> {
    for (let step = this.#next; step !== null; step = this.#next) {
      this.#next = null
      await this.#evaluate(step)
    }
  }

  async #evaluate(step: number): Promise<void> {
    const { checkpoints, request, done, failed } = this.#settings
    const child = fork(new URL('./evaluate-process.js', import.meta.url), {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.#child = child
    let evaluated: EvaluatedCheckpoint | null = null
    let said = ''
    child.stderr?.on('data', (bytes: Buffer) => {
      said = (said + bytes.toString('utf8')).slice(-maxReasonCharacters)
    })
    child.once('message', (message: EvaluatedCheckpoint) => {
      evaluated = message
    })
    child.send({ ...request, checkpoint: join(checkpoints, stepName(step)) } satisfies FolderRequest)
    const end = await ended(child)
    this.#child = null
    if (evaluated) done(evaluated)
    else if (!this.#stopped) failed(step, said.trim().split('\n').at(-1) || end)
  }
}

const maxReasonCharacters = 2000

async function ended(child: ChildProcess): Promise<string> {
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  return signal === null ? `its process exited with ${code}` : `its process was ended by ${signal}`
}
