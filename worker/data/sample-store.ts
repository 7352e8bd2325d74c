import { assert } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import type { ChunkManifest } from '../../shared/dataset/chunk.ts'
import type { ChunkCache } from '../../shared/dataset/chunk-cache.ts'
import type { SampleSource } from '../step/step-inputs.ts'

/** Samples by number, from chunks that are fetched when first needed and cached on disk by their SHA-256. */
export function openSampleStore(
  manifest: ChunkManifest,
  cache: ChunkCache,
  fetch: (sha256: string) => Promise<Uint8Array>,
): SampleSource {
  const chunks = new Map<number, Promise<Uint8Array>>()
  const load = (index: number): Promise<Uint8Array> => {
    const present = chunks.get(index)
    if (present) return present
    const entry = manifest.chunks[index]
    assert(entry, `chunk ${index} is in the manifest`)
    const loading = (async () => {
      const cached = await cache.get(entry.sha256)
      if (cached) return cached
      const bytes = await fetch(entry.sha256)
      await cache.put(entry.sha256, bytes)
      return bytes
    })()
    loading.catch(() => chunks.delete(index))
    chunks.set(index, loading)
    return loading
  }
  return {
    sampleCount: manifest.sampleCount,
    sampleBytes: manifest.sampleBytes,
    async rows(ids) {
      const indexes = [...new Set(ids.map((id) => Math.floor(id / manifest.samplesPerChunk)))]
      const loaded = new Map<number, Uint8Array>()
      for (let start = 0; start < indexes.length; start += limits.blobWindow) {
        const window = indexes.slice(start, start + limits.blobWindow)
        for (const [position, bytes] of (await Promise.all(window.map(load))).entries())
          loaded.set(window[position] ?? -1, bytes)
      }
      return ids.map((id) => {
        const chunk = loaded.get(Math.floor(id / manifest.samplesPerChunk))
        assert(chunk, `chunk of sample ${id} is loaded`)
        const start = (id % manifest.samplesPerChunk) * manifest.sampleBytes
        return chunk.subarray(start, start + manifest.sampleBytes)
      })
    },
  }
}
