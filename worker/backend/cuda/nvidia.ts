import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { messageOf } from '../../../shared/core/errors.ts'

/** A card, as NVIDIA's driver tells. */
export interface NvidiaCard {
  /** In the order of the bus, as nvidia-smi counts; not what `--device cuda:N` counts where CUDA_VISIBLE_DEVICES is set. */
  readonly index: number
  readonly name: string
  readonly memoryMiB: number
  readonly driver: string
  /** Such as 8.6; null where the driver is too old to tell. */
  readonly computeCapability: string | null
  readonly uuid: string
}

export interface Nvidia {
  readonly cards: readonly NvidiaCard[]
  /** Version of the driver that is loaded; null where there is none. */
  readonly driver: string | null
  /** Why no card is listed. */
  readonly problem: string | null
}

const answerMs = 10_000
const fields = 'index,name,memory.total,driver_version,uuid'

/** Asks nvidia-smi, and the kernel where that is missing, as in a container without the driver's utilities. */
export async function askNvidia(): Promise<Nvidia> {
  const ask = async (query: string) => {
    const { stdout } = await promisify(execFile)(
      'nvidia-smi',
      [`--query-gpu=${query}`, '--format=csv,noheader,nounits'],
      {
        timeout: answerMs,
      },
    )
    return parseNvidia(stdout)
  }
  try {
    const cards = await ask(`${fields},compute_cap`).catch(() => ask(fields)) // older drivers do not know the last one
    const [card] = cards
    return { cards, driver: card?.driver ?? kernelDriver(), problem: card ? null : 'nvidia-smi lists no card' }
  } catch (error) {
    return { cards: [], driver: kernelDriver(), problem: problemOf(error) }
  }
}

function problemOf(error: unknown): string {
  const { code, stdout } = error as NodeJS.ErrnoException & { stdout?: string }
  if (code === 'ENOENT') return 'there is no nvidia-smi'
  const [line = ''] = (stdout ?? '').trim().split('\n')
  return `nvidia-smi says: ${line || messageOf(error).split('\n')[0]}`
}

function kernelDriver(): string | null {
  try {
    return parseKernelDriver(readFileSync('/proc/driver/nvidia/version', 'utf8'))
  } catch {
    return null // no driver is loaded
  }
}

/** The first line is such as `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023`. */
export function parseKernelDriver(text: string): string | null {
  return /^NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s/m.exec(text)?.[1] ?? null
}

/** Lines such as `0, NVIDIA H100 80GB HBM3, 81559, 570.86.15, GPU-6a7d…, 9.0`. */
export function parseNvidia(text: string): NvidiaCard[] {
  return text.split('\n').flatMap((line) => {
    const [index = '', name = '', memory = '', driver = '', uuid = '', capability = ''] = line
      .split(',')
      .map((part) => part.trim())
    if (!/^\d+$/.test(index)) return []
    const computeCapability = /^\d+\.\d+$/.test(capability) ? capability : null
    return [{ index: Number(index), name, memoryMiB: Number(memory) || 0, driver, uuid, computeCapability }]
  })
}

/** One entry for each N of `--device cuda:N`: what CUDA_VISIBLE_DEVICES has to be for it, and its card where that is known. */
export interface VisibleCard {
  readonly visible: string
  readonly card: NvidiaCard | null
}

/**
 * The cards that this process may use: all, or those of CUDA_VISIBLE_DEVICES, by number or by the beginning of their UUID, up to the
 * first that is none, as CUDA reads it.
 */
export function visibleCards({ cards }: Nvidia, setting = process.env.CUDA_VISIBLE_DEVICES): readonly VisibleCard[] {
  if (setting === undefined) return cards.map((card) => ({ visible: String(card.index), card }))
  const visible: VisibleCard[] = []
  for (const entry of setting.split(',').map((part) => part.trim())) {
    const card = cards.find(
      ({ index, uuid }) => entry === String(index) || (/^GPU-./.test(entry) && uuid.startsWith(entry)),
    )
    if (!card && (cards.length > 0 || entry === '') && !entry.startsWith('MIG-')) break
    visible.push({ visible: entry, card: card ?? null })
  }
  return visible
}
