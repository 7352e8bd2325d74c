/** Time, passed in, so that tests may run on their own. Milliseconds from an arbitrary start. */
export interface Clock {
  now(): number
  /** Milliseconds since 1970, of this host. */
  wallTime(): number
  /** Runs again and again until the returned function is called. */
  every(intervalMs: number, run: () => void): () => void
  /** 0: lets other work in, and goes on. */
  sleep(ms: number): Promise<void>
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  every(intervalMs, run) {
    const timer = setInterval(run, intervalMs)
    return () => clearInterval(timer)
  },
  sleep: (ms) => new Promise((resolve) => (ms === 0 ? setImmediate(resolve) : setTimeout(resolve, ms))),
}
