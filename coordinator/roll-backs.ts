import { RingleaderError } from '../shared/core/errors.ts'
import { limits } from '../shared/core/limits.ts'
import type { Checkpoints } from './checkpoint/checkpoints.ts'
import type { PreparedRun } from './prepare-run.ts'

/** Too many skipped steps in a row: back to a checkpoint from before them, at lower learning rates. */
export class RollBacks {
  readonly #run: PreparedRun
  readonly #checkpoints: Checkpoints
  #underWay = false
  /** Step that the last one went back to. */
  #last = 0

  constructor(run: PreparedRun, checkpoints: Checkpoints) {
    this.#run = run
    this.#checkpoints = checkpoints
  }

  /**
   * Where to go back to, where it is time: the last checkpoint before the skipped steps, or the one before that where the
   * last roll-back went there in vain. Errors: `diverged`, after too many.
   */
  due(steps: number, skips: number): { step: number; reason: string } | null {
    const { config, folder } = this.#run
    if (config.maxSkips === 0 || skips < config.maxSkips || this.#underWay) return null
    if (config.rollbacks >= limits.maxRollbacks) {
      const message = `${config.rollbacks} roll-backs did not help; write a lower --learning-rate`
      throw new RingleaderError('diverged', message)
    }
    const step = this.before(steps - skips + 1)
    config.rollbacks++
    folder.configure(config)
    const rate = config.rollbackRate ** config.rollbacks
    const reason = `${skips} steps in a row were skipped: back to step ${step}, at ${rate} of the learning rates`
    folder.event('rollback', { step, from: steps, skips, rate, reason })
    return { step, reason }
  }

  /** The last checkpoint before a step, or the one before that where the last roll-back went there in vain. Later ones are dropped. */
  before(first: number): number {
    let step = this.#checkpoints.goBackTo(first - 1)
    if (step > 0 && step === this.#last) step = this.#checkpoints.goBackTo(step - 1)
    this.#underWay = true
    this.#last = step
    return step
  }

  /** The run has gone back; true where it was for one of these. */
  ended(): boolean {
    const was = this.#underWay
    this.#underWay = false
    return was
  }
}
