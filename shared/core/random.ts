/** What a random stream is for; a stream's draws never depend on those of another. Step and phase are added in. */
export const randomStream = {
  init: 1,
  order: 2,
  fixedNoise: 3,
  noise: 4,
  faults: 5,
  network: 6,
  evaluation: 7,
  stacking: 8,
  flips: 9,
  motion: 10,
  soundPhases: 11,
  labels: 15,
  draws: 16,
  sweep: 17,
} as const

/** Counter-based: draw i of a key is a pure function of (seed, stream, step, lane, i). */
export interface RandomKey {
  readonly seed: number
  readonly stream: number
  readonly step: number
  readonly lane: number
}

export type Words = [number, number, number, number]

/** Philox4x32-10 (Salmon et al., SC'11), plainly; the kernel's oracle. */
export function philoxBlock(key: readonly [number, number], counter: Readonly<Words>): Words {
  let [k0, k1] = key
  let [c0, c1, c2, c3] = counter
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0)
    const high1 = multiplyHigh(0xcd9e8d57, c2)
    const low0 = Math.imul(0xd2511f53, c0) >>> 0
    const low1 = Math.imul(0xcd9e8d57, c2) >>> 0
    c0 = (high1 ^ c1 ^ k0) >>> 0
    c1 = low1
    c2 = (high0 ^ c3 ^ k1) >>> 0
    c3 = low0
    k0 = (k0 + 0x9e3779b9) >>> 0
    k1 = (k1 + 0xbb67ae85) >>> 0
  }
  return [c0, c1, c2, c3]
}

export function seedWords(seed: number): [number, number] {
  return [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0]
}

/** Order of an epoch's samples (Fisher & Yates; bounded draws without bias, Lemire 2019). */
export function permutation(
  seed: number,
  epoch: number,
  count: number,
  stream: number = randomStream.order,
): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, index) => index)
  const next = draws(seed, stream, epoch)
  for (let last = count - 1; last > 0; last--) {
    const other = bounded(next, last + 1)
    const kept = order[last] ?? 0
    order[last] = order[other] ?? 0
    order[other] = kept
  }
  return order
}

/** 32-bit draws, one after the other. */
export function draws(seed: number, stream: number, step: number): () => number {
  const key = seedWords(seed)
  let block = 0
  let words: Words = [0, 0, 0, 0]
  let used = 4
  return () => {
    if (used === 4) {
      words = philoxBlock(key, [block++, stream, step, 0])
      used = 0
    }
    return words[used++] ?? 0
  }
}

function bounded(next: () => number, bound: number): number {
  const threshold = (2 ** 32 - bound) % bound
  for (;;) {
    const draw = next()
    if (Math.imul(draw, bound) >>> 0 >= threshold) return multiplyHigh(draw, bound)
  }
}

/** Upper 32 bits of the 64-bit product. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16)
  const other = aLow * bHigh + (middle & 0xffff)
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(other / 65536)) >>> 0
}
