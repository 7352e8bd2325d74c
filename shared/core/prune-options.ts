import { z } from 'zod'
import type { ModelDescription } from '../model/description.ts'
import { usage } from './errors.ts'

/** What holds for every network that is not named. */
const all = 'all'

/** Parts from 0 to below 1 by network, `generator`, by layer, `generator/dense0`, or for `all` networks. */
export const pruneSchema = z.record(z.string(), z.number().min(0).lt(1))

/** Reads `0.8`, for every network, or `generator=0.8,decoder/logits=0`. `flag` is named in errors. */
export function parsePruning(flag: string, value: unknown): Record<string, number> {
  const parts = String(value).split(',')
  const pairs =
    parts.length === 1 && !parts[0]?.includes('=') ? [[all, parts[0]]] : parts.map((part) => part.split('='))
  const isPart = (text: string | undefined) =>
    text !== undefined && text.trim() !== '' && Number(text) >= 0 && Number(text) < 1
  if (pairs.some(([name, part]) => !name || !isPart(part)))
    throw usage(`--${flag} ${String(value)}: write a part from 0 to below 1, or NETWORK=PART,NETWORK/LAYER=PART`)
  return Object.fromEntries(pairs.map(([name = '', part]) => [name, Number(part)]))
}

/** What is said of a layer, else of its network, else of all; `layer` is network/layer, with or without more behind it. */
export function partOf(parts: Readonly<Record<string, number>>, name: string): number {
  const [network = '', layer = ''] = name.split('/')
  return parts[`${network}/${layer}`] ?? parts[network] ?? parts[all] ?? 0
}

/** Refuses parts of what the model does not have. */
export function checkParts(
  flag: string,
  parts: Readonly<Record<string, number>>,
  { name, networks }: ModelDescription,
): void {
  const known = networks.flatMap((network) => [
    network.name,
    ...network.layers.map((layer) => `${network.name}/${layer.name}`),
  ])
  const unknown = Object.keys(parts).find((part) => part !== all && !known.includes(part))
  if (unknown !== undefined)
    throw usage(
      `--${flag} ${unknown}: model ${name} has no such network or layer; write one of ${networks.map((n) => n.name).join(', ')}, or NETWORK/LAYER`,
    )
}

interface PruneConfig {
  readonly description: ModelDescription
  readonly prune: Readonly<Record<string, number>>
  readonly pruneBegin: number
  readonly pruneEnd: number
  readonly checkpointDtype: string
  readonly reproducible: boolean
}

/** Refuses pairs that make no sense. */
export function checkPruning({
  description,
  prune,
  pruneBegin,
  pruneEnd,
  checkpointDtype,
  reproducible,
}: PruneConfig): void {
  checkParts('prune', prune, description)
  if (pruneBegin > pruneEnd)
    throw usage(`--prune-begin ${pruneBegin} is behind --prune-end ${pruneEnd}; write a smaller one`)
  if (reproducible && checkpointDtype === 'bf16')
    throw usage(
      '--checkpoint-dtype bf16 rounds what a run goes on from, so --reproducible could not hold; leave one out',
    )
}
