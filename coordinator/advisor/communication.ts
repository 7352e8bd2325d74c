import { type Algorithm, algorithms, chooseAlgorithm, chooseOnOneHost } from '../../shared/collective/algorithm.ts'
import { costUs } from '../../shared/collective/cost.ts'
import type { RunConfig } from '../../shared/core/config.ts'
import type { Topology } from '../../shared/protocol/topology.ts'
import type { Layout } from './layout.ts'
import type { Expected } from './scaling.ts'

type Settings = Pick<RunConfig, 'algorithm' | 'reproducible' | 'compression'>

/** Something that could be changed about the all-reduce. */
export interface Change {
  /** As a flag: `--compression bf16`. */
  readonly flag: string
  /** Milliseconds of a step that it would save; below 0: it would cost. */
  readonly savedMs: number
  readonly lowMs: number
  readonly highMs: number
  /** All of the range is a saving that is worth it. */
  readonly pays: boolean
}

/** Bytes of a gradient that are left, and bytes of it that a core encodes and decodes in a millisecond; measured here once (docs/performance.md). */
const formats = [
  { name: 'bf16', part: 0.5 },
  { name: 'int8', part: 0.26 },
] as const
const codecBytesPerMs = 1.5e6
/** Of a step; less is not worth a change. */
const worthIt = 0.03
/** What a measured link may be off by, either way: other traffic, and what overlaps. */
const linkError = 1.5

/** What the links make one expect of the all-reduce of `bytes`. One rank has none. */
export function expectedOf(bytes: number, config: Settings): Expected {
  return ({ topology }) => {
    if (topology.hosts.length < 2) return 0
    return costUs(taken(bytes, topology, config), bytes * partOf(config), topology) / 1000
  }
}

function taken(bytes: number, topology: Topology, { algorithm, reproducible, compression }: Settings): Algorithm {
  const oneHost = topology.hosts.every((host) => host === topology.hosts[0])
  const plain = algorithm === 'auto' || algorithm === 'direct'
  if (plain && !topology.hub && oneHost && compression === 'none') return chooseOnOneHost(topology.hosts.length, bytes)
  const onePlace = reproducible || compression === 'topk'
  return chooseAlgorithm({ choice: algorithm, topology, onePlace }, bytes * partOf({ compression })).name
}

function partOf({ compression }: Pick<Settings, 'compression'>): number {
  if (compression === 'none' || compression === 'topk') return 1
  return compression === 'int8' ? 0.26 : 0.5
}

/**
 * Whether other bytes or another algorithm would pay, for a group whose collectives take `waitMs` of a step: that scales with what
 * the measured links make one expect of each; encoding comes on top. Main threads of one host move nothing that could be compressed.
 */
export function changes(layout: Layout, bytes: number, waitMs: number, stepMs: number, config: Settings): Change[] {
  const { topology } = layout
  if (topology.hosts.length < 2) return []
  const now = expectedOf(bytes, config)(layout)
  const change = (flag: string, thenMs: number, extraMs: number): Change => {
    const gain = (collectiveMs: number) => collectiveMs * (1 - thenMs / now) - extraMs
    // What is waited for is the slowest rank as well as the links: between what these account for and all of it.
    const ends = [gain(Math.min(waitMs, now) / linkError), gain(waitMs * linkError)].sort((a, b) => a - b)
    const [lowMs = 0, highMs = 0] = ends
    return { flag, savedMs: gain(waitMs), lowMs, highMs: Math.min(waitMs, highMs), pays: lowMs > worthIt * stepMs }
  }
  const oneHost = topology.hosts.every((host) => host === topology.hosts[0])
  const compressions = config.compression === 'none' && !oneHost ? formats : []
  const algorithm = taken(bytes, topology, config)
  const others =
    config.algorithm === 'auto' || config.algorithm === 'star' || topology.hub || config.reproducible ? [] : algorithms
  const best = others
    .map((name) => ({ name, ms: costUs(name, bytes * partOf(config), topology) / 1000 }))
    .sort((a, b) => a.ms - b.ms)[0]
  return [
    ...compressions.map(({ name, part }) =>
      change(
        `--compression ${name}`,
        costUs(taken(bytes, topology, { ...config, compression: name }), bytes * part, topology) / 1000,
        bytes / codecBytesPerMs,
      ),
    ),
    ...(best && best.name !== algorithm ? [change(`--algorithm auto (${best.name})`, best.ms, 0)] : []),
  ]
}
