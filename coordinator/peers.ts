import { encodeControl, type ToWorker } from '../shared/protocol/control.ts'
import type { ControlServer } from '../shared/transport/control-socket.ts'

/** A worker's connection is named after it (control-socket.ts). */
export function workerOfPeer(peer: string): string {
  return peer.slice(0, peer.lastIndexOf('/'))
}

/** Which connection belongs to which worker. A worker that comes back has a new one. */
export class Peers {
  readonly #server: ControlServer
  readonly #unreachable: (workerId: string) => void
  readonly #peers = new Map<string, string>()
  readonly #workers = new Map<string, string>()

  constructor(server: ControlServer, unreachable: (workerId: string) => void) {
    this.#server = server
    this.#unreachable = unreachable
  }

  workerOf(peer: string): string | undefined {
    return this.#workers.get(peer)
  }

  knows(workerId: string): boolean {
    return this.#peers.has(workerId)
  }

  bind(workerId: string, peer: string): void {
    this.forget(workerId)
    this.#peers.set(workerId, peer)
    this.#workers.set(peer, workerId)
  }

  forget(workerId: string): void {
    const peer = this.#peers.get(workerId)
    this.#peers.delete(workerId)
    if (peer) this.#workers.delete(peer)
  }

  send(workerId: string, message: ToWorker, bytes?: Uint8Array): void {
    void this.reaches(workerId, message, bytes)
  }

  /** Whether the worker has a connection; where not, that is told too. */
  reaches(workerId: string, message: ToWorker, bytes?: Uint8Array): Promise<boolean> {
    return this.#deliver(workerId, bytes ? [encodeControl(message), bytes] : [encodeControl(message)])
  }

  /** The same to each of them; encoded once. */
  sendAll(workerIds: Iterable<string>, message: ToWorker): void {
    const frames = [encodeControl(message)]
    for (const workerId of workerIds) void this.#deliver(workerId, frames)
  }

  /** Bytes of a message that is encoded already. */
  sendEncoded(workerId: string, encoded: Uint8Array): void {
    void this.#deliver(workerId, [encoded])
  }

  broadcast(message: ToWorker): void {
    this.sendAll(this.#peers.keys(), message)
  }

  async #deliver(workerId: string, frames: readonly Uint8Array[]): Promise<boolean> {
    const peer = this.#peers.get(workerId)
    if (peer === undefined) return false
    const there = await this.#server.send(peer, frames)
    if (!there && this.#peers.get(workerId) === peer) this.#unreachable(workerId)
    return there
  }

  /** To one that is nobody yet. */
  reply(peer: string, message: ToWorker): void {
    void this.#server.send(peer, [encodeControl(message)])
  }
}
