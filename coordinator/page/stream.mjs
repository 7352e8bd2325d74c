/** Until a connection that was refused is tried again. */
const retryMs = 3000

/**
 * A run's updates. The browser connects again by itself, and the server then sends everything anew; a refusal is tried
 * again here.
 * @param {number} run
 * @param {{ open(): void, update(update: import('./run-data.mjs').Update): void, lost(): void }} to
 */
export function follow(run, to) {
  const source = new EventSource(`api/runs/${run}/events`)
  source.onopen = () => to.open()
  source.onmessage = ({ data }) => to.update(JSON.parse(data))
  source.onerror = () => {
    to.lost()
    if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(run, to), retryMs)
  }
}
