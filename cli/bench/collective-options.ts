import type { Options } from 'yargs'
import { algorithmChoices, usage } from '../../shared/core/config.ts'

/** How buckets are reduced, and over what. The one place that knows what there is to choose from. */
const choices = { algorithm: algorithmChoices, wire: ['auto', 'shm', 'tcp'] } as const

export interface CollectiveOptions {
  readonly algorithm: (typeof choices.algorithm)[number]
  readonly wire: (typeof choices.wire)[number]
}

export const collectiveFlags = {
  algorithm: { type: 'string', describe: `all-reduce: ${choices.algorithm.join(', ')}`, default: 'auto' },
  wire: { type: 'string', describe: `wire between the workers: ${choices.wire.join(', ')}`, default: 'auto' },
} as const satisfies Record<keyof CollectiveOptions, Options>

export function collectiveOptions(parsed: Readonly<Record<string, unknown>>): CollectiveOptions {
  return {
    algorithm: oneOf('algorithm', choices.algorithm, parsed.algorithm),
    wire: oneOf('wire', choices.wire, parsed.wire),
  }
}

function oneOf<Name extends string>(flag: string, names: readonly Name[], value: unknown): Name {
  const name = names.find((candidate) => candidate === value)
  if (!name) throw usage(`--${flag} ${String(value)} is unknown; write one of ${names.join(', ')}`)
  return name
}
