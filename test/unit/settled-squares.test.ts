import { describe, expect, it } from 'vitest'
import { resolveConfig } from '../../shared/core/config.ts'
import { makeModel } from '../../worker/model/make-model.ts'
import { ModelState, tail } from '../../worker/step/model-state.ts'
import { SettledSquares } from '../../worker/step/settled-squares.ts'
import { squaresOf, sumOfSquares } from '../../worker/step/slices.ts'
import { partsOf } from '../../worker/step/state-room.ts'
import { imageOf } from '../support/training.ts'

describe('squares of floats that are final', () => {
  const config = resolveConfig({ model: 'vae', steps: 1 })
  const state = new ModelState(makeModel(config, imageOf(784)).spec, 1 << 20, partsOf(config, 1))
  const { count, gradients, squares: place } = state.network('encoder')
  state.floats((gradients[0] ?? 0) - tail.floats * 4, tail.floats).fill(1e6)
  state.floats(gradients[0] ?? 0, count).set(Float32Array.from({ length: count }, (_, index) => Math.sin(index)))
  squaresOf(state, 'encoder', 0, 1)
  const expected = sumOfSquares(state, 'encoder')

  it('are those of the whole gradient, bit for bit, in whatever order they come', () => {
    for (const size of [1000, 100_000, 10_000_000]) {
      const squares = new SettledSquares(state, 'encoder')
      new Float64Array(state.memory.buffer, place, 4).fill(Number.NaN)
      const ranges: [number, number][] = []
      for (let first = -tail.floats; first < count; first += size) ranges.push([first, Math.min(size, count - first)])
      ranges.sort(([a], [b]) => Math.sin(a) - Math.sin(b))
      const last = ranges.pop() ?? [0, 0]
      for (const range of ranges) squares.settled(...range)
      expect(squares.complete).toBe(false)
      squares.settled(...last)
      expect(squares.complete).toBe(true)
      expect(sumOfSquares(state, 'encoder')).toBe(expected)
    }
  })
})
