import { hubOf } from '../shared/collective/star.ts'
import { encodeFrameHeader, frameKind } from '../shared/protocol/frame.ts'
import { encodeTarget } from '../shared/protocol/hub.ts'
import type { ControlClient } from '../shared/transport/control-socket.ts'
import { bytesPayload, type FrameHandler } from '../shared/transport/transport.ts'

export interface HubGroup {
  readonly run: bigint
  readonly generation: number
  readonly rank: number
  readonly worldSize: number
}

const empty = new Uint8Array(0)

/**
 * The way to the other ranks where they do not reach each other: a connection of its own to the coordinator, whose hub adds up
 * what is for it and passes on the rest. When it breaks, what was on its way is lost, and so is the generation.
 */
export class HubLink {
  readonly #open: () => ControlClient
  readonly #onFrame: FrameHandler
  readonly #onLost: () => void
  #client: ControlClient | null = null
  #group: HubGroup | null = null

  constructor(open: () => ControlClient, onFrame: FrameHandler, onLost: () => void) {
    this.#open = open
    this.#onFrame = onFrame
    this.#onLost = onLost
  }

  /** Says to the hub who is where; its answer comes as a frame. The connection outlives the group. */
  enter(group: HubGroup): void {
    this.#group = group
    if (this.#client) return this.#greet()
    const client = this.#open()
    this.#client = client
    client.onMessage(([header = empty, payload = empty]) => this.#onFrame(header, bytesPayload(payload)))
    client.onConnection((connected) => {
      if (this.#client !== client) return
      if (connected) this.#greet()
      else this.#onLost()
    })
    this.#greet()
  }

  leave(): void {
    const client = this.#client
    this.#client = null
    this.#group = null
    void client?.close()
  }

  /** Has copied the payload when it returns. */
  send(ranks: readonly number[], header: Uint8Array, payload: Uint8Array): void {
    for (const rank of ranks) this.#client?.send([header, payload.slice(), encodeTarget(rank)])
  }

  #greet(): void {
    if (!this.#group) return
    const { run, generation, rank, worldSize } = this.#group
    const header = encodeFrameHeader({
      ...{ kind: frameKind.probe, run, generation, step: 0, bucket: 0, sender: rank },
      ...{ segment: 0, part: 0, offset: 0, count: 0 },
    })
    this.send([hubOf(worldSize)], header, empty)
  }
}
