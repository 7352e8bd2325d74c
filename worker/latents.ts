/**
 * `steps` latent vectors on the way from a to b, both included. Along the sphere (Shoemake 1985), where normal vectors lie, or on a
 * line.
 */
export function between(a: Float32Array, b: Float32Array, steps: number, onSphere: boolean): Float32Array[] {
  const dot = a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0)
  const length = (vector: Float32Array) => Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
  const angle = Math.acos(Math.min(1, Math.max(-1, dot / Math.max(length(a) * length(b), 1e-12))))
  return Array.from({ length: steps }, (_, step) => {
    const t = steps === 1 ? 0 : step / (steps - 1)
    const curved = onSphere && Math.sin(angle) > 1e-4
    const [first, second] = curved
      ? [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)]
      : [1 - t, t]
    return a.map((value, index) => first * value + second * (b[index] ?? 0))
  })
}

/**
 * A map of a latent plane: side × side vectors of two, rows from above, at equally likely coordinates of a normal distribution
 * (Kingma & Welling 2014, figure 4).
 */
export function plane(side: number): Float32Array {
  const at = (index: number) => normalQuantile((index + 0.5) / side)
  return Float32Array.from({ length: 2 * side * side }, (_, index) =>
    index % 2 === 0 ? at((index >> 1) % side) : -at(Math.floor((index >> 1) / side)),
  )
}

/** Inverse of the normal distribution's Φ, to 5e-4 (Abramowitz & Stegun 1964, 26.2.23). */
export function normalQuantile(p: number): number {
  if (p > 0.5) return -normalQuantile(1 - p)
  const t = Math.sqrt(-2 * Math.log(p))
  return -(
    t -
    (2.515517 + 0.802853 * t + 0.010328 * t * t) / (1 + 1.432788 * t + 0.189269 * t * t + 0.001308 * t * t * t)
  )
}
