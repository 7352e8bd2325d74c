import { illnessNames } from '../../coordinator/stability/illnesses.ts'
import type { DescribedMetric, MetricRegistry } from '../../shared/metrics/metric-registry.ts'
import { WorkerMetrics } from '../../worker/metrics/worker-metrics.ts'
import { busyMetrics } from './metrics.ts'

/** What the values of a label are. */
const labels: Readonly<Record<string, string>> = {
  algorithm: '`direct`, `exchange`, `ring`, `tree`, `hierarchical`, `star` ([protocol.md](protocol.md))',
  backend: 'of the worker, with its version',
  device: 'what the backend computes on: a GPU as its driver describes it, or `cpu`',
  cause:
    'of a worker that is slow: `stopped process`, `other load`, `garbage collection`, `data`, `network`, `compute`',
  classifier: 'SHA-256 of the classifier that figures were measured with',
  dataset: '`--dataset`',
  figure: 'by its name in [evaluation.md](evaluation.md)',
  host: 'name of the worker’s host',
  kind: `of an incident: \`dead\`, \`silent\`, \`stalled\`, \`left\`, \`diverged\`, \`apart\`; of an alarm: \`files\`, \`journal\`, \`checkpoint\`, \`evaluation\`, and of the training ([stability.md](stability.md)) ${illnessNames.map((name) => `\`${name}\``).join(', ')}; of a garbage collection: \`major\`, \`minor\`, \`incremental\`, \`weakcb\``,
  major: 'of the version',
  minor: 'of the version',
  model: '`--model`',
  name: 'of a scalar, as in `metrics.jsonl`',
  node: 'version of Node.js',
  part: 'of worker-seconds, as [operations.md](operations.md) explains: `useful`, `recomputed`, `waiting`, `reforming`, `paused`, `starting`, `other`',
  patch: 'of the version',
  phase:
    'of a step: `prepare`, `input`, `forward`, `backward`, `allReduce`, `optimizer`, of a pipeline `pipelineWait`; of an incident: `detect`, `reform`, `firstCommit`; of the group: `waiting`, `forming`, `running`, `halting`, `ended`',
  protocol: 'version of the control protocol',
  run_id: 'name of the run',
  space: 'of the heap, by V8',
  state: '`warming`, `ready`, `joining`, `joined`, `running`, `finished`, `halted`',
  threads: 'that the worker computes with',
  type: 'of the resource, by Node.js',
  version: 'of the program',
  wire: '`shm`: all ranks are on one host; `tcp`: each is on another; `mixed`',
  worker: 'its id',
}

/** docs/metrics.md. Throws where a label is not explained, or one that is explained is not there. */
export function metricsDocument(): string {
  const coordinator = described(busyMetrics().registry)
  const worker = described(new WorkerMetrics().registry)
  const own = (metric: DescribedMetric) => metric.name.startsWith('ringleader_')
  const parts = [
    '# Metrics',
    '',
    '<!-- Made from the code: npm run generate -->',
    '',
    'Names and units are those of Prometheus: base units, `_total` on what only grows, 1 for true. Every label has few values: workers are',
    'bounded by `--max-workers`, names that come from elsewhere by 64. Series of a worker that is gone go with it.',
    '',
    '## Coordinator',
    '',
    '`/metrics` at `--http`. What happened before the coordinator started, in an earlier sitting of the run, is not counted.',
    '',
    ...table(coordinator.filter(own)),
    '',
    '## Worker',
    '',
    '`/metrics` of each worker ([operations.md](operations.md)). The label `worker`, its id, comes from the discovery.',
    '',
    ...table(worker.filter(own)),
    '',
    '## Process',
    '',
    'Of Node.js and the operating system, for coordinator and workers. The lag of the event loop tells whether the coordinator keeps up;',
    'in a worker it is that of the thread that owns the sockets, not of the one that computes.',
    '',
    ...table(coordinator.filter((metric) => !own(metric))),
    '',
    '## Labels',
    '',
    ...labelTable([...coordinator, ...worker]),
    '',
  ]
  return parts.join('\n')
}

function described(registry: MetricRegistry): DescribedMetric[] {
  return registry.describe().sort((a, b) => (a.name < b.name ? -1 : 1))
}

function table(metrics: readonly DescribedMetric[]): string[] {
  const row = ({ name, type, labels, help }: DescribedMetric) =>
    `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help.replace(/\.$/, '')} |`
  return ['| name | type | labels | meaning |', '| --- | --- | --- | --- |', ...metrics.map(row)]
}

function labelTable(metrics: readonly DescribedMetric[]): string[] {
  const used = [...new Set(metrics.flatMap((metric) => metric.labels))].sort()
  const unused = Object.keys(labels).filter((label) => !used.includes(label))
  if (unused.length > 0) throw new Error(`no metric has a label ${unused.join()}`)
  const row = (label: string) => {
    const meaning = labels[label]
    if (meaning === undefined) throw new Error(`say what the label ${label} is`)
    return `| \`${label}\` | ${meaning} |`
  }
  return ['| label | values |', '| --- | --- |', ...used.map(row)]
}
