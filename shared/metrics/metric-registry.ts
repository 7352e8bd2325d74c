import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { limits } from '../core/limits.ts'

/** Upper bounds in seconds: steps and their parts, from a tiny model to a large one on a slow host. */
export const stepBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** How finely the lag of an event loop is looked at: each look takes a core from what computes beside it. */
const lagMs = 50

export interface DescribedMetric {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
}

/** Metrics of one process. The only place that knows prom-client. Names, units and types are those of Prometheus's own rules. */
export class MetricRegistry {
  readonly #registry = new Registry()

  /** `collect`: sets it, each time that somebody asks. */
  counter<Label extends string = never>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
    collect?: (counter: Counter<Label>) => void,
  ): Counter<Label> {
    const registers = [this.#registry]
    if (!collect) return new Counter({ name, help, labelNames, registers })
    return new Counter({
      ...{ name, help, labelNames, registers },
      collect() {
        collect(this)
      },
    })
  }

  /** The same. */
  gauge<Label extends string = never>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
    collect?: (gauge: Gauge<Label>) => void,
  ): Gauge<Label> {
    const registers = [this.#registry]
    if (!collect) return new Gauge({ name, help, labelNames, registers })
    return new Gauge({
      ...{ name, help, labelNames, registers },
      collect() {
        collect(this)
      },
    })
  }

  histogram<Label extends string = never>(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly Label[] = [],
  ): Histogram<Label> {
    return new Histogram({ name, help, labelNames, buckets: [...buckets], registers: [this.#registry] })
  }

  /** A gauge that is always 1 and tells something by its labels. */
  info(name: string, help: string, labels: Readonly<Record<string, string>>): void {
    this.gauge(name, `${help}; always 1`, Object.keys(labels)).set({ ...labels }, 1)
  }

  /** Memory, processor time, event-loop lag, garbage collection of this process and thread. */
  watchProcess(): void {
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: lagMs })
    // Gauges that are named like counters, which promtool refuses.
    for (const name of ['handles', 'requests', 'resources'])
      this.#registry.removeSingleMetric(`nodejs_active_${name}_total`)
  }

  /** In the text format of Prometheus. */
  metrics(): Promise<string> {
    return this.#registry.metrics()
  }

  describe(): DescribedMetric[] {
    return this.#registry.getMetricsAsArray().map((metric) => {
      const { name, help, type, labelNames } = metric as unknown as {
        name: string
        help: string
        type: DescribedMetric['type']
        labelNames?: readonly string[]
      }
      return { name, help, type, labels: labelNames ?? [] }
    })
  }
}

/** Keeps the values of a label few, whatever others say: from the `limits.metricNames`-th on they are told as "other". */
export class BoundedNames {
  readonly #names = new Set<string>()

  of(name: string): string {
    if (this.#names.size < limits.metricNames) this.#names.add(name)
    return this.#names.has(name) ? name : 'other'
  }
}
