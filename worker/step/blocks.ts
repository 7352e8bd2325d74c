/** Floats that several kernels work on one after the other: of a core's second cache a small part. */
export const blockFloats = 1 << 16

export const blocksOf = (count: number): number => Math.ceil(count / blockFloats)
