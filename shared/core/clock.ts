/** Time, passed in, so that tests may run on their own. */
export interface Clock {
  /** Milliseconds from an arbitrary start, the same for all threads and processes of a host. */
  now(): number
  /** Milliseconds since 1970, of this host. */
  wallTime(): number
  /** Runs again and again until the returned function is called. */
  every(intervalMs: number, run: () => void): () => void
  /** 0: lets other work in, and goes on. */
  sleep(ms: number): Promise<void>
}

/** `now` at the start of this thread's own count. Of some tries the one that was interrupted least between its two readings. */
const threadStart = Math.min(
  ...Array.from({ length: 5 }, () => -performance.now() + Number(process.hrtime.bigint()) / 1e6),
)

/** Milliseconds since 1970 at which this host's `now` was 0. */
export const hostStart = performance.timeOrigin - threadStart

/** `now` of a moment that Node tells in milliseconds since the start of this thread, as performance entries do. */
export const sinceThreadStart = (ms: number): number => threadStart + ms

export const systemClock: Clock = {
  now: () => threadStart + performance.now(),
  wallTime: () => Date.now(),
  every(intervalMs, run) {
    const timer = setInterval(run, intervalMs)
    return () => clearInterval(timer)
  },
  sleep: (ms) => new Promise((resolve) => (ms === 0 ? setImmediate(resolve) : setTimeout(resolve, ms))),
}
