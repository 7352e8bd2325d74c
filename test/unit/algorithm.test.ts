import { describe, expect, it } from 'vitest'
import { type Algorithm, chooseAlgorithm, describeAlgorithm } from '../../shared/collective/algorithm.ts'
import { costUs } from '../../shared/collective/cost.ts'
import { topologyOf, unknownTopology } from '../../shared/collective/topology.ts'
import type { Topology } from '../../shared/protocol/topology.ts'

const kilobyte = 1024
const megabyte = 1 << 20
const fast = { latencyUs: 60, bytesPerSecond: 3e9 }

/** So many ranks on each host. */
function hostsOf(...sizes: number[]): number[] {
  return sizes.flatMap((size, host) => Array.from({ length: size }, () => host))
}

function groupOf(sizes: number[], between: Topology['between'] = null): Topology {
  return { hosts: hostsOf(...sizes), inside: fast, between: sizes.length > 1 ? between : null, hub: false }
}

const choose = (topology: Topology, bytes: number, choice: Parameters<typeof chooseAlgorithm>[0]['choice'] = 'auto') =>
  chooseAlgorithm({ choice, topology, onePlace: false }, bytes).name

describe('the choice of an algorithm', () => {
  const gigabit = { latencyUs: 80, bytesPerSecond: 1.2e8 }
  const tenGigabit = { latencyUs: 50, bytesPerSecond: 1.2e9 }
  const distant = { latencyUs: 20_000, bytesPerSecond: 1.2e8 }

  it.each<[number[], Topology['between'], number, Algorithm]>([
    [[2], null, 4 * kilobyte, 'exchange'],
    [[2], null, 512 * kilobyte, 'exchange'],
    [[2], null, 2 * megabyte, 'direct'],
    [[5], null, 16 * kilobyte, 'exchange'],
    [[5], null, megabyte, 'direct'],
    [[17], null, 16 * megabyte, 'direct'],
    [[24], null, 4 * kilobyte, 'tree'],
    [[64], null, 4 * kilobyte, 'tree'],
    [[1, 1], gigabit, 4 * kilobyte, 'exchange'],
    [[1, 1, 1, 1], gigabit, 16 * megabyte, 'direct'],
    [[2, 2], gigabit, 4 * kilobyte, 'exchange'],
    [[2, 2], gigabit, megabyte, 'hierarchical'],
    [[4, 4], tenGigabit, 16 * megabyte, 'hierarchical'],
    [[3, 1], gigabit, 16 * megabyte, 'hierarchical'],
    [[8, 8, 8], gigabit, 16 * megabyte, 'hierarchical'],
    [[2, 2], distant, 64 * kilobyte, 'exchange'],
    [[1, 1], distant, megabyte, 'exchange'],
  ])('on hosts of %j ranks, with %j between them, for %i bytes: %s', (sizes, between, bytes, name) => {
    expect(choose(groupOf(sizes, between), bytes)).toBe(name)
  })

  it('is what the user says, but for a hop less where that is for nothing', () => {
    const topology = groupOf([3])
    expect(choose(topology, 4096, 'ring')).toBe('ring')
    expect(choose(topology, 50 * megabyte, 'tree')).toBe('tree')
    expect(choose(topology, 4096, 'hierarchical')).toBe('hierarchical')
    expect(choose(topology, 4096, 'direct')).toBe('exchange')
    expect(choose(topology, megabyte, 'direct')).toBe('direct')
    expect(choose(groupOf([2, 2], gigabit), 16 * megabyte, 'direct')).toBe('direct')
  })

  it('is star wherever the group goes through the hub, and nowhere else', () => {
    expect(choose(unknownTopology(2, true), 4096)).toBe('star')
    expect(choose(unknownTopology(2, true), 64 * megabyte, 'star')).toBe('star')
    for (const bytes of [4, megabyte, 256 * megabyte]) expect(choose(unknownTopology(2), bytes)).not.toBe('star')
  })

  it('adds a reproducible run in one place', () => {
    for (const sizes of [[24], [4, 4]])
      expect(
        chooseAlgorithm({ choice: 'auto', topology: groupOf(sizes, gigabit), onePlace: true }, megabyte).name,
      ).toBe('direct')
  })

  it('holds no more of small buckets than it may', () => {
    for (const ranks of [2, 5, 16])
      for (let bytes = 4; bytes < 64 * megabyte; bytes *= 4)
        if (
          choose(
            groupOf(
              Array.from({ length: ranks }, () => 1),
              distant,
            ),
            bytes,
          ) === 'exchange'
        )
          expect(bytes * (ranks - 1)).toBeLessThanOrEqual(megabyte)
  })

  it('says why', () => {
    const describe = (topology: Topology, choice: Parameters<typeof choose>[2] = 'auto') =>
      describeAlgorithm({ choice, topology, onePlace: false })
    expect(describe(groupOf([3]))).toEqual({
      name: 'direct',
      reason: 'main threads of one host; exchange up to 2048 KiB; 3 ranks on 1 host, inside 60 µs, 3.00 GB/s',
    })
    const { name, reason } = describe(groupOf([2, 2], gigabit))
    expect(name).toBe('hierarchical')
    expect(reason).toMatch(
      /^64 MiB about .* ms, direct .* ms; exchange up to \d+ KiB; .*4 ranks on 2 hosts, inside .*, between 80 µs, 0.12 GB\/s$/,
    )
    expect(describe(groupOf([3]), 'ring')).toEqual({ name: 'ring', reason: '--algorithm ring' })
    expect(describe(groupOf([1])).reason).toBe('one rank has nothing to add')
    expect(describe(unknownTopology(2, true)).reason).toBe('workers do not reach each other, but the coordinator')
    expect(describe(unknownTopology(2, true), 'star').reason).toBe('--algorithm star')
  })
})

describe('the cost model', () => {
  const between = { latencyUs: 100, bytesPerSecond: 1e9 }

  it('counts bytes between hosts as the algorithms send them: n times fewer for hierarchical', () => {
    const slow = { latencyUs: 100, bytesPerSecond: 1e6 }
    for (const [ranks, hosts] of [
      [2, 2],
      [4, 2],
      [8, 4],
    ] as const) {
      const topology = groupOf(
        Array.from({ length: hosts }, () => ranks),
        slow,
      )
      const ratio = costUs('direct', 64 * megabyte, topology) / costUs('hierarchical', 64 * megabyte, topology)
      expect(ratio).toBeCloseTo(ranks, 1)
    }
  })

  it('is that of direct for hierarchical on one host, and with a rank a host, but for messages', () => {
    for (const topology of [groupOf([4]), groupOf([1, 1, 1, 1], between)])
      expect(costUs('hierarchical', 16 * megabyte, topology)).toBeCloseTo(costUs('direct', 16 * megabyte, topology), -1)
  })

  it('is more for more bytes', () => {
    for (const name of ['direct', 'exchange', 'ring', 'tree', 'hierarchical', 'star'] as const) {
      for (const sizes of [[2], [5], [3, 2], [1, 1, 1]])
        expect(costUs(name, 2 * megabyte, groupOf(sizes, between))).toBeGreaterThan(
          costUs(name, megabyte, groupOf(sizes, between)),
        )
    }
  })
})

describe('what the reports of all ranks say together', () => {
  const link = (rank: number, roundTripUs: number, bytesPerSecond: number) => ({ rank, roundTripUs, bytesPerSecond })

  it('puts ranks on one host that have proven it to each other, all of them', () => {
    const host = [0, 0, 1, 1, 1]
    const reports = host.map((own, rank) => ({
      sameHost: [...host.keys()].filter((other) => other !== rank && host[other] === own),
      links: [],
    }))
    expect(topologyOf(reports).hosts).toEqual(host)
    const oneSided = reports.map((report, rank) => (rank === 3 ? { sameHost: [], links: [] } : report))
    expect(topologyOf(oneSided).hosts).toEqual([0, 0, 1, 2, 1])
    expect(topologyOf([null, null])).toEqual({ hosts: [0, 1], inside: null, between: null, hub: false })
  })

  it('takes medians of the links inside and between hosts, within what can be', () => {
    const reports = [
      { sameHost: [1], links: [link(1, 100, 4e9), link(2, 500, 1e8)] },
      { sameHost: [0], links: [link(0, 300, 2e9)] },
      { sameHost: [], links: [link(0, 700, 1e12), link(1, 900, 3e8)] },
    ]
    expect(topologyOf(reports)).toMatchObject({
      inside: { latencyUs: 150, bytesPerSecond: 4e9 },
      between: { latencyUs: 350, bytesPerSecond: 3e8 },
    })
    const impossible = { sameHost: [], links: [link(1, 0.001, 1e15)] }
    expect(topologyOf([impossible, null]).between).toEqual({ latencyUs: 2, bytesPerSecond: 2e10 })
  })
})
