import { unpack } from 'msgpackr'
import type { CommittedStep, StateIdentity, ToCoordinator, ToWorker } from '../../shared/protocol/control.ts'
import { encodeControl, protocolVersion } from '../../shared/protocol/control.ts'
import type { ControlClient } from '../../shared/transport/control-socket.ts'

export type Standing = 'new' | 'welcome' | 'formed' | 'stepping' | 'halted'

/** Says what a worker says to its coordinator, and does nothing of what a worker does: a load of a thousand fits one process. */
export class ScriptedWorker {
  readonly workerId: string
  standing: Standing = 'new'
  generation = 0
  rank = 0
  heartbeatMs = 0
  readonly #client: ControlClient
  readonly #changed: () => void
  #state: StateIdentity | null = null
  #entered = 0

  /** `changed`: told whenever it stands otherwise. */
  constructor(workerId: string, client: ControlClient, changed: () => void) {
    this.workerId = workerId
    this.#client = client
    this.#changed = changed
    // What this host's coordinator says needs no check, which would cost more than all that is measured.
    client.onMessage(([head]) => head && this.#hear(unpack(head) as ToWorker))
  }

  hello(): void {
    const { workerId } = this
    this.#send({
      ...{ kind: 'hello', protocolVersion, workerId, attempt: 1, runId: null, member: null, absence: null },
      ...{ host: 'bench', processId: 1, backend: 'none', threads: 1, cores: 1, metrics: null },
    })
  }

  ready(): void {
    const { workerId } = this
    this.#send({ kind: 'ready', endpoint: `tcp://10.0.0.1/${workerId}`, left: this.generation, state: this.#state })
  }

  heartbeat(): void {
    const step = this.#state?.step ?? 0
    this.#send({
      ...{ kind: 'heartbeat', attempt: 1, generation: this.generation, step, residentBytes: 2e8, tensors: 100 },
      ...{
        staleFrames: 0,
        malformedFrames: 0,
        entered: ++this.#entered,
        reduced: this.#entered,
        fetched: 0,
        clock: null,
      },
    })
  }

  committed(steps: CommittedStep[]): void {
    this.#state = { generation: this.generation, step: steps.at(-1)?.step ?? 0 }
    this.#send({ kind: 'committed', generation: this.generation, steps })
  }

  /** Its link to this one broke. */
  suspect(workerId: string): void {
    this.#send({ kind: 'suspect', generation: this.generation, workerId, reason: `the link to ${workerId} is lost` })
  }

  close(): Promise<void> {
    return this.#client.close()
  }

  #hear(message: ToWorker): void {
    switch (message.kind) {
      case 'welcome':
        this.heartbeatMs = message.heartbeatMs
        return this.#stands('welcome')
      case 'form':
        this.generation = message.generation
        this.rank = message.rank
        this.#entered = 0
        this.#state = message.state
        this.#send({ kind: 'joined', generation: this.generation, report: { sameHost: [], links: [] } })
        return this.#stands('formed')
      case 'start':
        return this.#stands('stepping')
      case 'abort':
      case 'pause': {
        if (message.generation !== this.generation || this.standing === 'halted') return
        const cause = message.kind === 'abort' ? 'aborted' : 'paused'
        this.#send({ kind: 'halted', generation: this.generation, state: this.#state, cause, reason: message.reason })
        return this.#stands('halted')
      }
      default:
        return
    }
  }

  #stands(standing: Standing): void {
    this.standing = standing
    this.#changed()
  }

  #send(message: ToCoordinator): void {
    this.#client.send([encodeControl(message)])
  }
}
