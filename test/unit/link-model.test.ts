import { describe, expect, it } from 'vitest'
import { type LinkModel, linkModel } from '../../cli/simulation/link-model.ts'
import { simulateAllReduce } from '../../cli/simulation/simulated-all-reduce.ts'
import { TimedNetwork } from '../../cli/simulation/timed-network.ts'
import { algorithms } from '../../shared/collective/algorithm.ts'
import { frameHeaderBytes } from '../../shared/protocol/frame.ts'

/** 1 GB/s, 50 µs. */
const link = { latencyMs: 0.05, bytesPerMs: 1e6 }
const header = new Uint8Array(frameHeaderBytes)

/** When each message was there, of a network on which `begin` sends. */
function arrivals(model: LinkModel, ranks: number, begin: (transports: ReturnType<TimedNetwork['create']>[]) => void) {
  const network = new TimedNetwork(model)
  const transports = Array.from({ length: ranks }, () => network.create())
  const peers = transports.map(({ endpoint }, rank) => ({ rank, endpoint }))
  const times: number[] = []
  for (const transport of transports) {
    transport.connect({ peers })
    transport.onFrame(() => times.push(transport.busyUntil))
  }
  begin(transports)
  network.run()
  return times
}

describe('a message', () => {
  const million = new Uint8Array(1e6 - frameHeaderBytes) // with its header, a millisecond on the link

  it('takes latency, its bytes over the bandwidth, and the processors at both ends', () => {
    const model = linkModel({ ...link, messageMs: 0.01, sumBytesPerMs: 4e6 })
    const [time] = arrivals(model, 2, ([one]) => one?.send([1], header, million))
    expect(time).toBeCloseTo(0.01 + 0.05 + 1 + 0.01 + 0.25, 3)
  })

  it('waits for those before it: of one sender, of one receiver, but not of another pair', () => {
    const model = linkModel(link)
    const out = arrivals(model, 3, ([one]) => one?.send([1, 2], header, million))
    const into = arrivals(model, 3, ([, two, three]) => [two, three].map((rank) => rank?.send([0], header, million)))
    for (const times of [out, into]) {
      expect(times[0]).toBeCloseTo(1.05, 6)
      expect(times[1]).toBeCloseTo(2.05, 6)
    }
    const apart = arrivals(model, 4, ([one, two]) => [one?.send([2], header, million), two?.send([3], header, million)])
    for (const time of apart) expect(time).toBeCloseTo(1.05, 6)
  })

  it('of one host shares its port with those of the others there, and does not need it within the host', () => {
    const model = linkModel({ ...link, ranksPerHost: 2, local: { latencyMs: 0, bytesPerMs: 10e6 } })
    const shared = arrivals(model, 4, ([one, two]) => [
      one?.send([2], header, million),
      two?.send([3], header, million),
    ])
    expect(shared[1]).toBeCloseTo(2.05, 6)
    const within = arrivals(model, 4, ([one, two]) => [
      one?.send([1], header, million),
      two?.send([3], header, million),
    ])
    expect(within[0]).toBeCloseTo(0.1, 6)
    expect(within[1]).toBeCloseTo(1.05, 6)
  })
})

/** Times without headers and processors; N a power of two, E bytes a bucket (Thakur, Rabenseifner & Gropp 2005, section 4). */
const formulas = {
  ring: (n: number, bytes: number) => 2 * (n - 1) * link.latencyMs + (2 * (n - 1) * bytes) / n / link.bytesPerMs,
  tree: (n: number, bytes: number) => 2 * Math.log2(n) * link.latencyMs + (2 * (n - 1) * bytes) / n / link.bytesPerMs,
  direct: (n: number, bytes: number) => 2 * link.latencyMs + (2 * (n - 1) * bytes) / n / link.bytesPerMs,
  exchange: (n: number, bytes: number) => link.latencyMs + ((n - 1) * bytes) / link.bytesPerMs,
}

describe('simulated times are those of the formulas', () => {
  it.each(['ring', 'tree', 'direct', 'exchange'] as const)('%s', async (algorithm) => {
    for (const ranks of [2, 4, 8, 16, 64])
      for (const bytes of [64 * 4 * 16, 1 << 20, 16 << 20]) {
        const { ms, messages } = await simulateAllReduce(algorithm, ranks, bytes, linkModel(link))
        const formula = formulas[algorithm](ranks, bytes)
        // Headers, and segments that follow each other: a hop does not wait for the whole chunk.
        expect(ms / formula, `${ranks} ranks, ${bytes} bytes`).toBeGreaterThan(0.98)
        expect(ms / formula, `${ranks} ranks, ${bytes} bytes, ${messages} messages`).toBeLessThan(1.05)
      }
  })

  it('a bucket that does not fit the memory takes as long as one that does', async () => {
    const times = async (elements: number) =>
      Promise.all(
        algorithms.map(async (algorithm) => {
          const { ms, scale, messages } = await simulateAllReduce(algorithm, 8, 8 << 20, linkModel(link), elements)
          return { ms, scale, messages }
        }),
      )
    const [whole, short] = [await times(1 << 21), await times(1 << 12)]
    for (const [index, { ms, scale, messages }] of whole.entries()) {
      expect(scale).toBe(1)
      expect(short[index]?.scale).toBe(512)
      expect(short[index]?.messages).toBe(messages)
      expect((short[index]?.ms ?? 0) / ms).toBeCloseTo(1, 2)
    }
  })
})

describe('every algorithm', () => {
  it.each(algorithms)('%s comes to its end with the right sums, for any number of ranks', async (algorithm) => {
    for (const ranks of [2, 3, 5, 12, 33, 100]) {
      const model = linkModel({ ...link, messageMs: 0.002, sumBytesPerMs: 5e6, ranksPerHost: 4 })
      for (const bytes of [4, 4004, 4 << 20]) {
        const { ms } = await simulateAllReduce(algorithm, ranks, bytes, model, 1 << 13)
        expect(ms).toBeGreaterThan(0)
      }
    }
  })
})
