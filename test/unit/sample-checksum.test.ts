import { describe, expect, it } from 'vitest'
import { permutation } from '../../shared/core/random.ts'
import { sampleChecksum } from '../../shared/core/sample-checksum.ts'

describe('the checksum of samples', () => {
  it('adds up over ranks in float32 without loss, at the largest batch', () => {
    const ids = permutation(1, 0, 2 ** 24 - 1).subarray(0, 4096)
    const parts = [ids.subarray(0, 1000), ids.subarray(1000)].map(sampleChecksum)
    const sum = new Float32Array(5)
    for (const part of parts) for (const [index, value] of part.entries()) sum[index] = (sum[index] ?? 0) + value
    expect([...sum]).toEqual(sampleChecksum(ids))
  })

  it('differs where two samples are exchanged for two others of the same sum', () => {
    expect(sampleChecksum([10, 20])).not.toEqual(sampleChecksum([11, 19]))
    expect(sampleChecksum([10, 20])).not.toEqual(sampleChecksum([10, 20, 20]))
    expect(sampleChecksum([10, 20])).toEqual(sampleChecksum([20, 10]))
    const pairs = Array.from({ length: 400 }, (_, id) => sampleChecksum([id, 401 - id].sort()).join())
    expect(new Set(pairs.slice(0, 200)).size).toBe(200)
  })
})
