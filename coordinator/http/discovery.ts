/** A worker that serves /metrics. */
export interface Scraped {
  readonly workerId: string
  readonly address: string
  /** −1: it is in no group. */
  readonly rank: number
}

/**
 * Targets for Prometheus's `http_sd_configs`: a list of all workers that are here now, each with its name as a label. Source:
 * the format of HTTP service discovery in Prometheus's documentation.
 */
export function discovered(runId: string, workers: readonly Scraped[]) {
  return workers.map(({ workerId, address, rank }) => ({
    targets: [address],
    labels: { worker: workerId, __meta_ringleader_run_id: runId, __meta_ringleader_rank: String(rank) },
  }))
}
