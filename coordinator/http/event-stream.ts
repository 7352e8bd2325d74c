import type { ServerResponse } from 'node:http'
import { limits } from '../../shared/core/limits.ts'
import type { FeedCursor, RunFeed } from './run-feed.ts'

const updateMs = 1000
/** The browser comes back after so long. */
const retryMs = 1000

interface Reader {
  readonly response: ServerResponse
  cursor: FeedCursor | null
  /** Updates in a row that found its line still full. */
  passedOver: number
}

/** One message of server-sent events (HTML Living Standard, 9.2.5). JSON has no line breaks, so one `data` line is enough. */
export function encodeServerSentEvent(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`
}

/**
 * Sends a run's updates to everybody who has its page open, once a second. Nothing queues up for a slow reader: it is passed
 * over until its line is free, and then gets what is new since its own last update.
 */
export class EventStream {
  readonly #feed: RunFeed
  readonly #readers = new Set<Reader>()
  #timer: NodeJS.Timeout | null = null

  constructor(feed: RunFeed) {
    this.#feed = feed
  }

  get readers(): number {
    return this.#readers.size
  }

  /** False where there are too many readers already. */
  add(response: ServerResponse): boolean {
    if (this.#readers.size >= limits.pageReaders) return false
    const reader = { response, cursor: null, passedOver: 0 }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(`retry: ${retryMs}\n\n`)
    this.#readers.add(reader)
    response.once('close', () => this.#remove(reader))
    response.on('error', () => this.#remove(reader))
    this.#timer ??= setInterval(() => void this.update(), updateMs)
    void this.update()
    return true
  }

  /** Sends what is new now. */
  async update(): Promise<void> {
    await this.#feed.refresh().catch(() => {}) // a file that cannot be read now is read later; the run goes on
    for (const reader of this.#readers) this.#send(reader)
  }

  /** The last word, and the end. */
  async close(): Promise<void> {
    if (this.#readers.size > 0) await this.update()
    for (const { response } of this.#readers) response.end()
    this.#stop()
  }

  #send(reader: Reader): void {
    const { response } = reader
    if (response.writableLength > limits.pageWaitingBytes) {
      if (++reader.passedOver > limits.pagePassedOver) response.destroy()
      return
    }
    reader.passedOver = 0
    const { update, cursor } = this.#feed.since(reader.cursor)
    reader.cursor = cursor
    // A comment keeps the connection, and finds out whether it is still there.
    response.write(update ? encodeServerSentEvent(update) : ':\n\n')
  }

  #remove(reader: Reader): void {
    this.#readers.delete(reader)
    if (this.#readers.size === 0) this.#stop()
  }

  #stop(): void {
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = null
  }
}
