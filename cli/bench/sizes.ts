import { freemem } from 'node:os'
import { usage } from '../../shared/core/config.ts'

const units = { '': 1, K: 1 << 10, M: 1 << 20, G: 1 << 30 } as const
const ladder = '4,256,4K,64K,256K,1M,4M,16M,44M,128M,256M'
/** More does not fit beside what else lies in a 32-bit memory. */
const largestBytes = 1 << 30
/** Bytes that a worker takes for one byte of a bucket: the bucket, what waits to be sent, what has come. */
const copies = 4

/** Bytes of each size, such as 4,4096,1M; without a text a ladder as far as this host's memory reaches. */
export function bucketSizes(text: unknown, workers: number): number[] {
  const most = mostBytes(workers)
  if (text === undefined) return parsed(ladder).filter((bytes) => bytes <= most)
  const sizes = parsed(String(text))
  const tooLarge = sizes.find((bytes) => bytes > most)
  if (tooLarge === undefined) return sizes
  throw usage(`--sizes: ${sizeName(tooLarge)} with ${workers} workers does not fit; write ${sizeName(most)} at most`)
}

function parsed(text: string): number[] {
  return text.split(',').map((part) => {
    const bytes = bytesOf(part)
    if (bytes !== null) return bytes
    throw usage(`--sizes ${part}: write bytes in multiples of 4 with commas between them, such as 4,4096,1M`)
  })
}

/** Of one size, such as 44M; null where it is none. */
export function bytesOf(text: string): number | null {
  const match = /^(\d+)([KMG]?)$/.exec(text)
  const unit = Object.entries(units).find(([name]) => name === match?.[2])?.[1] ?? 0
  const bytes = Number(match?.[1]) * unit
  return bytes > 0 && bytes % 4 === 0 ? bytes : null
}

function mostBytes(workers: number): number {
  const share = Math.min(freemem(), process.constrainedMemory() || Number.POSITIVE_INFINITY) / workers / copies
  return Math.min(largestBytes, Math.max(4096, 2 ** Math.floor(Math.log2(share))))
}

/** 44M for 46137344; as `--sizes` reads it. */
export function sizeName(bytes: number): string {
  const [name, unit] = Object.entries(units).findLast(([, size]) => bytes % size === 0) ?? ['', 1]
  return `${bytes / unit}${name}`
}
