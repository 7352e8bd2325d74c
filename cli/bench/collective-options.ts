import type { Options } from 'yargs'
import { compressionNames } from '../../shared/core/compression-options.ts'
import { algorithmChoices, resolveConfig, usage } from '../../shared/core/config.ts'

/** How buckets are reduced, and over what. The one place that knows what there is to choose from. */
const choices = {
  algorithm: algorithmChoices,
  wire: ['auto', 'shm', 'tcp'],
  compression: compressionNames,
} as const

export interface CollectiveOptions {
  readonly algorithm: (typeof choices.algorithm)[number]
  readonly wire: (typeof choices.wire)[number]
  readonly compression: (typeof choices.compression)[number]
  readonly compressionRatio: number | null
}

export const collectiveFlags = {
  algorithm: { type: 'string', describe: `all-reduce: ${choices.algorithm.join(', ')}`, default: 'auto' },
  wire: { type: 'string', describe: `wire between the workers: ${choices.wire.join(', ')}`, default: 'auto' },
  compression: { type: 'string', describe: `what is sent: ${choices.compression.join(', ')}`, default: 'none' },
  'compression-ratio': { type: 'number', describe: 'with --compression topk: part that is sent (default: 0.01)' },
} as const satisfies Record<string, Options>

export function collectiveOptions(parsed: Readonly<Record<string, unknown>>): CollectiveOptions {
  const compression = oneOf('compression', choices.compression, parsed.compression)
  // What a run would refuse is refused here too.
  const given = parsed.compressionRatio ?? null
  const ratio = given === null ? {} : { compressionRatio: Number(given) }
  const algorithm = oneOf('algorithm', choices.algorithm, parsed.algorithm)
  const { compressionRatio } = resolveConfig({ algorithm, compression, ...ratio })
  return {
    algorithm,
    wire: oneOf('wire', choices.wire, parsed.wire),
    compression,
    compressionRatio,
  }
}

function oneOf<Name extends string>(flag: string, names: readonly Name[], value: unknown): Name {
  const name = names.find((candidate) => candidate === value)
  if (!name) throw usage(`--${flag} ${String(value)} is unknown; write one of ${names.join(', ')}`)
  return name
}
