/** Grids of images that a run shows as it goes: drawn at random, or in rows on the way between two that were. */
export const gridKinds = ['samples', 'interpolation'] as const
export type GridKind = (typeof gridKinds)[number]
