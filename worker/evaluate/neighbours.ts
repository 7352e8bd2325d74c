import { assert } from '../../shared/core/errors.ts'
import { type Products, squaredDistances } from './products.ts'
import type { Features } from './statistics.ts'

export interface NeighbourMetrics {
  /** Share of the generated that lie in the ball of some real one (Kynkäänniemi et al. 2019, eq. 2). */
  readonly precision: number
  /** Share of the real that lie in the ball of some generated one (eq. 3). */
  readonly recall: number
  /** Real balls that a generated one lies in, on average, by k (Naeem et al. 2020, eq. 3); may be above 1. */
  readonly density: number
  /** Share of the real with a generated one in their own ball (eq. 4). */
  readonly coverage: number
}

/** The ball of a sample reaches to its k-th nearest neighbour among its own kind, itself excluded; its rim does not belong to it. */
export async function neighbourMetrics(
  products: Products,
  real: Features,
  fake: Features,
  k: number,
): Promise<NeighbourMetrics> {
  assert(real.rows > k && fake.rows > k, 'there are more samples than neighbours')
  const realRadii = await squaredRadii(products, real, k)
  const fakeRadii = await squaredRadii(products, fake, k)
  const ballsOf = new Uint32Array(fake.rows)
  let recalled = 0
  let covered = 0
  for await (const { start, rows, values } of squaredDistances(products, real, fake)) {
    for (let row = 0; row < rows; row++) {
      const radius = realRadii[start + row] ?? 0
      let isRecalled = false
      let isCovered = false
      for (let j = 0; j < fake.rows; j++) {
        const distance = values[row * fake.rows + j] ?? 0
        if (distance < radius) {
          ballsOf[j] = (ballsOf[j] ?? 0) + 1
          isCovered = true
        }
        if (distance < (fakeRadii[j] ?? 0)) isRecalled = true
      }
      recalled += Number(isRecalled)
      covered += Number(isCovered)
    }
  }
  let precise = 0
  let balls = 0
  for (const count of ballsOf) {
    precise += Number(count > 0)
    balls += count
  }
  return {
    precision: precise / fake.rows,
    recall: recalled / real.rows,
    density: balls / k / fake.rows,
    coverage: covered / real.rows,
  }
}

/** Squared distance of each row to its k-th nearest other row. */
async function squaredRadii(products: Products, features: Features, k: number): Promise<Float32Array> {
  const radii = new Float32Array(features.rows)
  const nearest = new Float32Array(k)
  for await (const { start, rows, values } of squaredDistances(products, features, features)) {
    for (let row = 0; row < rows; row++) {
      nearest.fill(Number.POSITIVE_INFINITY)
      let farthest = Number.POSITIVE_INFINITY
      for (let j = 0; j < features.rows; j++) {
        const distance = values[row * features.rows + j] ?? 0
        if (distance >= farthest || j === start + row) continue
        let place = k - 1
        while (place > 0 && (nearest[place - 1] ?? 0) > distance) {
          nearest[place] = nearest[place - 1] ?? 0
          place--
        }
        nearest[place] = distance
        farthest = nearest[k - 1] ?? 0
      }
      radii[start + row] = farthest
    }
  }
  return radii
}
