import { createServer } from 'node:net'
import type { WorkerPlace } from '../process/local-group.ts'
import { Relay } from './relay.ts'

interface Lines {
  readonly address: string
  readonly place: WorkerPlace
  readonly control: Relay
  readonly data: Relay
}

/**
 * The network between the processes of one host, with a relay in front of the coordinator for each worker and one in front
 * of each worker. Every worker has a loopback address of its own, by which the relays know whose bytes they pass.
 */
export class WorkerNetwork {
  readonly #lines = new Map<string, Lines>()
  readonly #cut = new Set<string>()
  /** Workers that do not reach each other. */
  readonly #pairs = new Set<readonly [string, string]>()

  /** Where a worker finds the coordinator, listens, and is found. */
  async place(workerId: string, coordinator: string): Promise<WorkerPlace> {
    const known = this.#lines.get(workerId)
    if (known) return known.place
    const address = `127.0.0.${10 + this.#lines.size}`
    const bound = { host: address, port: await freePort(address) }
    const control = await Relay.open('127.0.0.1', () => hostAndPortOf(coordinator))
    const data = await Relay.open('127.0.0.1', () => bound)
    const place = {
      coordinator: `tcp://127.0.0.1:${control.port}`,
      dataBind: `tcp://${address}:${bound.port}`,
      advertise: `tcp://127.0.0.1:${data.port}`,
    }
    this.#lines.set(workerId, { address, place, control, data })
    return place
  }

  /** From all others, or from one; the function heals it. */
  cut(workerId: string, from?: string): () => void {
    const pair = from === undefined ? null : ([workerId, from] as const)
    if (pair) this.#pairs.add(pair)
    else this.#cut.add(workerId)
    this.#setCuts()
    return () => {
      if (pair) this.#pairs.delete(pair)
      else this.#cut.delete(workerId)
      this.#setCuts()
    }
  }

  delay(workerId: string, ms: number): void {
    const slowed = this.#lines.get(workerId)
    slowed?.control.delay(() => ms)
    for (const { address, data } of this.#lines.values())
      data.delay((source) => (address === slowed?.address || source === slowed?.address ? ms : 0))
  }

  reset(workerId: string): void {
    const own = this.#lines.get(workerId)
    own?.control.reset(null)
    own?.data.reset(null)
    for (const { data } of this.#lines.values()) data.reset(own?.address ?? '')
  }

  close(): void {
    for (const { control, data } of this.#lines.values()) {
      control.close()
      data.close()
    }
  }

  #setCuts(): void {
    const addressOf = (workerId: string) => this.#lines.get(workerId)?.address
    const cutAddresses = new Set([...this.#cut].map(addressOf))
    for (const [workerId, { control, data }] of this.#lines) {
      const cut = this.#cut.has(workerId)
      const others = [...this.#pairs].filter((pair) => pair.includes(workerId)).flatMap((pair) => pair.map(addressOf))
      control.cut(() => cut)
      data.cut((source) => cut !== cutAddresses.has(source) || others.includes(source))
    }
  }
}

function hostAndPortOf(endpoint: string): { host: string; port: number } {
  const { hostname, port } = new URL(endpoint)
  return { host: hostname, port: Number(port) }
}

function freePort(host: string): Promise<number> {
  const server = createServer()
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, host, () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}
