/** Time, passed in, so that tests may run on their own. Milliseconds from an arbitrary start. */
export interface Clock {
  now(): number
  /** Runs again and again until the returned function is called. */
  every(intervalMs: number, run: () => void): () => void
  /** 0: lets other work in, and goes on. */
  sleep(ms: number): Promise<void>
}

export const systemClock: Clock = {
  now: () => performance.now(),
  every(intervalMs, run) {
    const timer = setInterval(run, intervalMs)
    return () => clearInterval(timer)
  },
  sleep: (ms) => new Promise((resolve) => (ms === 0 ? setImmediate(resolve) : setTimeout(resolve, ms))),
}
