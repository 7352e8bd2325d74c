/** So long a thread looks for something without giving the core away: about what a core change costs. */
const spinMs = 0.1
/** Then it sleeps between looks; the system adds about as much again. */
const napMs = 0.03
/** And then other work of this thread goes on between looks. */
const patienceMs = 20

/**
 * Rest between two looks for something that another thread or process is about to do. A nap ends when the value at `index` is
 * no longer `value` and somebody says so.
 */
export function rest(waitedMs: number, words: Int32Array, index: number, value: number): Promise<void> | null {
  if (waitedMs < spinMs) return null
  if (waitedMs > patienceMs) return new Promise((resolve) => setImmediate(resolve))
  Atomics.wait(words, index, value, napMs)
  return null
}
