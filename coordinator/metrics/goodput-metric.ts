import type { MetricRegistry } from '../../shared/metrics/metric-registry.ts'
import { type GoodputSeconds, goodputParts, nothing } from '../goodput/parts.ts'

/** Reads the goodput ledger whenever somebody scrapes. */
export class GoodputMetric {
  #seconds: () => GoodputSeconds = () => nothing.seconds

  constructor(registry: MetricRegistry) {
    registry.counter(
      'ringleader_worker_seconds_total',
      'Time of all workers, by what it went to; of workers that step, up to their last report',
      ['part'],
      (counter) => {
        const seconds = this.#seconds()
        counter.reset()
        for (const part of goodputParts) counter.inc({ part }, seconds[part])
      },
    )
  }

  watch(seconds: () => GoodputSeconds): void {
    this.#seconds = seconds
  }
}
