import { RingleaderError } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import type { Checkpoints } from '../checkpoint/checkpoints.ts'
import type { Intervention } from '../journal/journal-record.ts'
import type { MembershipEvent } from '../membership/events.ts'
import type { PreparedRun } from '../prepare-run.ts'
import type { RollBacks } from '../roll-backs.ts'
import type { Tally } from '../tally.ts'

/**
 * What is done about an alarm, as `--on-instability` says. The decision follows from the tally and goes to the disk before anybody hears of
 * it, so that a coordinator that comes after a crash takes the same one, once.
 */
export class Interventions {
  readonly #run: PreparedRun
  readonly #tally: Tally
  readonly #checkpoints: Checkpoints
  readonly #rollBacks: RollBacks
  readonly #note: (intervention: Intervention) => void
  #told: Intervention | null = null

  /** `note` returns when it is on the disk, and in the tally. */
  constructor(
    run: PreparedRun,
    tally: Tally,
    checkpoints: Checkpoints,
    rollBacks: RollBacks,
    note: (intervention: Intervention) => void,
  ) {
    this.#run = run
    this.#tally = tally
    this.#checkpoints = checkpoints
    this.#rollBacks = rollBacks
    this.#note = note
  }

  /** What has to happen now; null: nothing. Errors: `diverged`, after too many roll-backs. */
  due(): MembershipEvent | null {
    if (!this.#tally.intervention) this.#decide()
    const { intervention } = this.#tally
    if (!intervention) return null
    const { action, back, reason } = intervention
    switch (action) {
      case 'stop':
        return { kind: 'failRun', reason }
      case 'lower-lr': // again, until a group has formed with the new rates
        this.#lowerRates(intervention)
        return { kind: 'reform', reason }
      case 'rollback':
        if (this.#told === intervention) return null
        this.#told = intervention
        this.#lowerRates(intervention)
        this.#checkpoints.goBackTo(back)
        return { kind: 'rollBack', step: back, reason }
      default:
        return action satisfies never
    }
  }

  #decide(): void {
    const { config } = this.#run
    const { onInstability: action, rollbacks } = config
    const [alarm] = this.#tally.stability.alarms
    if (!alarm || action === 'warn') return
    const spent = action !== 'stop' && rollbacks >= limits.maxRollbacks
    if (spent && action === 'lower-lr') return // it is told of, and that is all
    if (spent)
      throw new RingleaderError(
        'diverged',
        `${rollbacks} roll-backs did not help against ${alarm.illness}; ${alarm.reason}`,
      )
    const { steps } = this.#tally.ledger
    const back = action === 'rollback' ? this.#rollBacks.before(alarm.since) : steps
    const times = action === 'stop' ? rollbacks : rollbacks + 1
    const how = {
      stop: 'the run is stopped',
      'lower-lr': `goes on at ${config.rollbackRate ** times} of the learning rates`,
      rollback: `back to step ${back}, at ${config.rollbackRate ** times} of the learning rates`,
    }[action]
    const reason = `${alarm.illness} since step ${alarm.since}: ${how}`
    this.#note({ action, illness: alarm.illness, step: steps, back, rollbacks: times, reason })
    this.#run.folder.event('intervention', { action, alarm: alarm.illness, step: steps, back, reason })
  }

  #lowerRates({ rollbacks }: Intervention): void {
    const { config, folder } = this.#run
    if (config.rollbacks >= rollbacks) return
    config.rollbacks = rollbacks
    folder.configure(config)
  }
}
