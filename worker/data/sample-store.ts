import { assert, RingleaderError } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import type { BlobName, ChunkManifest } from '../../shared/dataset/chunk.ts'
import type { ChunkCache } from '../../shared/dataset/chunk-cache.ts'
import type { SampleSource } from '../step/step-inputs.ts'

/** Samples by number, from chunks that are fetched when first needed and cached on disk by their SHA-256. */
export function openSampleStore(
  manifest: ChunkManifest,
  cache: ChunkCache,
  fetch: (sha256: string) => Promise<Uint8Array>,
): SampleSource {
  const chunks = new Map<number, Promise<Uint8Array>>()
  const loadBlob = async ({ sha256 }: BlobName): Promise<Uint8Array> => {
    const cached = await cache.get(sha256)
    if (cached) return cached
    const bytes = await fetch(sha256)
    await cache.put(sha256, bytes)
    return bytes
  }
  const load = (index: number): Promise<Uint8Array> => {
    const present = chunks.get(index)
    if (present) return present
    const entry = manifest.chunks[index]
    assert(entry, `chunk ${index} is in the manifest`)
    const loading = loadBlob(entry)
    loading.catch(() => chunks.delete(index))
    chunks.set(index, loading)
    return loading
  }
  let labels: Promise<Uint8Array> | null = null
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
    async labels(ids) {
      if (manifest.labels.length === 0)
        throw new RingleaderError('labels', 'this data set has no labels; write a --model that needs none')
      labels ??= Promise.all(manifest.labels.map(loadBlob)).then(joined)
      labels.catch(() => {
        labels = null
      })
      const all = await labels
      return Uint8Array.from(ids, (id) => all[id] ?? 0)
    },
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts))
}
