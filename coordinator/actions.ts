import type { ActionAnswer, ActionName } from './http/action-route.ts'
import type { MembershipEvent } from './membership/events.ts'
import { type Membership, named, present } from './membership/state.ts'
import type { RunRecord } from './run-record.ts'

const done = (message: string): ActionAnswer => ({ status: 200, message })
const notNow = (message: string): ActionAnswer => ({ status: 409, message })

/** What somebody with the token may ask a run to do. */
export class Actions {
  readonly #record: RunRecord
  readonly #membership: () => Membership
  readonly #apply: (event: MembershipEvent) => void

  constructor(record: RunRecord, membership: () => Membership, apply: (event: MembershipEvent) => void) {
    this.#record = record
    this.#membership = membership
    this.#apply = apply
  }

  /** Does it, or says why not; what is done is noted in events.jsonl. */
  act(name: ActionName, workerId: string | null): ActionAnswer {
    const answer = this.#try(name, workerId)
    if (answer.status === 200)
      this.#record.run.folder.event('action', {
        ...{ action: name, step: this.#record.ledger.steps },
        ...(workerId === null ? {} : { workerId }),
      })
    return answer
  }

  #try(name: ActionName, workerId: string | null): ActionAnswer {
    const { phase, stopping, held } = this.#membership()
    const { checkpoints, notes } = this.#record
    if (phase === 'ended') return notNow('the run is over')
    if (stopping) return notNow('the run is about to stop')
    if (name !== 'drain' && workerId !== null) return { status: 400, message: `${name} takes no workerId` }
    switch (name) {
      case 'pause':
        if (held) return notNow('the run is paused already')
        notes.hold(true, checkpoints.step)
        this.#apply({ kind: 'pauseRequested' })
        return done('the run pauses at the next step boundary, with a checkpoint')
      case 'resume':
        if (!held) return notNow('nobody has paused the run')
        notes.hold(false, checkpoints.step)
        this.#apply({ kind: 'resumeRequested' })
        return done('the run goes on')
      case 'checkpoint':
        if (phase !== 'running')
          return notNow(`no group is stepping now; the newest checkpoint is of step ${checkpoints.step}`)
        this.#apply({ kind: 'checkpointRequested' })
        return done('a checkpoint follows at the next step boundary')
      case 'drain':
        return this.#drain(workerId)
      case 'stop':
        this.#apply({ kind: 'stopRequested' })
        return done('the run finishes its step, saves and ends')
      default:
        return name satisfies never
    }
  }

  /** The last one that holds the state has nobody to leave it to. */
  #drain(workerId: string | null): ActionAnswer {
    const { members, group } = this.#membership()
    if (workerId === null) return { status: 400, message: 'write which one: {"workerId": "worker-0"}' }
    const member = members.get(workerId)
    if (!member)
      return {
        status: 404,
        message: `no worker ${workerId}; there are ${named([...members.values()].map((each) => each.workerId)) || 'none'}`,
      }
    if (member.draining) return notNow(`${workerId} is about to leave`)
    const others = present(this.#membership()).filter((other) => other.workerId !== workerId && !other.draining)
    if (group.includes(workerId) && others.length === 0)
      return notNow(`${workerId} is the last one that trains; stop the run instead`)
    this.#apply({ kind: 'drain', workerId, reason: 'drained on request' })
    return done(`${workerId} leaves at the next step boundary`)
  }
}
