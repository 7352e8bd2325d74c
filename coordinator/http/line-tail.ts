import { open } from 'node:fs/promises'

/** Small enough that parsing it stops nobody for long. */
const pieceBytes = 256 << 10
/** A line without an end is no line. */
const maxLineBytes = 4 << 20

/** Reads the lines that were added to a file of JSON objects, a piece at a time. */
export class LineTail {
  readonly #path: string
  #offset = 0
  #file = 0
  #rest = Buffer.alloc(0)
  readonly #firstBytes: number

  /** `firstBytes`: of a file that is longer, the first call reads its end alone, from the first whole line on. */
  constructor(path: string, firstBytes = Number.POSITIVE_INFINITY) {
    this.#path = path
    this.#firstBytes = firstBytes
  }

  /**
   * Hands out the lines since the last call that parse; `restart` comes before them where the file is another one, or was
   * cut. None where there is no file.
   */
  async read(take: (line: Readonly<Record<string, unknown>>) => unknown, restart: () => void): Promise<void> {
    const handle = await open(this.#path, 'r').catch(() => null)
    if (!handle) return
    try {
      const { ino, size } = await handle.stat()
      if (this.#offset > size || (this.#file !== 0 && this.#file !== ino)) {
        this.#offset = 0
        this.#rest = Buffer.alloc(0)
        restart()
      }
      if (this.#file === 0) this.#offset = Math.max(0, size - this.#firstBytes)
      this.#file = ino
      while (this.#offset < size) {
        const length = Math.min(pieceBytes, size - this.#offset)
        const { bytesRead, buffer } = await handle.read(Buffer.alloc(length), 0, length, this.#offset)
        if (bytesRead === 0) return
        this.#offset += bytesRead
        this.#split(Buffer.concat([this.#rest, buffer.subarray(0, bytesRead)]), take)
      }
    } finally {
      await handle.close()
    }
  }

  #split(bytes: Buffer, take: (line: Readonly<Record<string, unknown>>) => unknown): void {
    const end = bytes.lastIndexOf(0x0a) + 1
    this.#rest = bytes.length - end > maxLineBytes ? Buffer.alloc(0) : Buffer.from(bytes.subarray(end))
    for (const line of bytes.toString('utf8', 0, end).split('\n')) {
      const value = parsed(line)
      if (typeof value === 'object' && value !== null) take(value as Readonly<Record<string, unknown>>)
    }
  }
}

/** Undefined where a crash has cut the line off. */
function parsed(line: string): unknown {
  try {
    return line === '' ? undefined : JSON.parse(line)
  } catch {
    return undefined
  }
}
