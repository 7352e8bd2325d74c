import { readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFolder } from '../core/atomic-file.ts'
import { sha256 as digest } from './chunk.ts'

/** Chunks on a worker's disk, by SHA-256; the ones not used for longest go when it is full. */
export class ChunkCache {
  readonly #folder: string
  readonly #maxBytes: number
  #bytes: number | null = null

  constructor(folder: string, maxBytes: number) {
    this.#folder = folder
    this.#maxBytes = maxBytes
  }

  /** Null where it is not there; a damaged one is deleted. */
  async get(sha256: string): Promise<Uint8Array | null> {
    const path = join(this.#folder, sha256)
    const bytes = await readFile(path).catch(() => null) // whatever the reason, it is fetched again
    if (!bytes) return null
    if (digest(bytes) !== sha256) {
      await rm(path, { force: true })
      return null
    }
    const now = new Date()
    await utimes(path, now, now).catch(() => null) // only the order of eviction depends on it
    return bytes
  }

  /** False where it could not be kept, which costs a fetch later and nothing else. */
  async put(sha256: string, bytes: Uint8Array): Promise<boolean> {
    try {
      makeFolder(this.#folder)
      const temporary = join(this.#folder, `.${sha256}.${process.pid}`)
      await writeFile(temporary, bytes)
      await rename(temporary, join(this.#folder, sha256))
      this.#bytes = (this.#bytes ?? (await this.#measure())) + bytes.byteLength
      if (this.#bytes > this.#maxBytes) await this.#evict()
      return true
    } catch {
      return false
    }
  }

  async #files(): Promise<{ path: string; bytes: number; used: number }[]> {
    const names = await readdir(this.#folder)
    return Promise.all(
      names.map(async (name) => {
        const path = join(this.#folder, name)
        const { size, mtimeMs } = await stat(path)
        return { path, bytes: size, used: mtimeMs }
      }),
    )
  }

  async #measure(): Promise<number> {
    return (await this.#files()).reduce((sum, file) => sum + file.bytes, 0)
  }

  async #evict(): Promise<void> {
    const files = (await this.#files()).sort((a, b) => a.used - b.used)
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0)
    for (const file of files) {
      if (bytes <= this.#maxBytes * 0.9) break
      await rm(file.path, { force: true })
      bytes -= file.bytes
    }
    this.#bytes = bytes
  }
}
