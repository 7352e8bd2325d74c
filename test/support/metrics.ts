import { Metrics } from '../../coordinator/metrics/metrics.ts'
import { resolveConfig } from '../../shared/core/config.ts'
import type { CommittedStep } from '../../shared/protocol/control.ts'
import { Play } from './play.ts'

export function committedStep(step: number, scalars: Record<string, number> = {}): CommittedStep {
  return {
    ...{ step, epoch: 0, batches: [], images: 640, scalars, skipped: false, seconds: 0.2, time: 0 },
    ...{ allReduceSeconds: 0.1, phaseSeconds: { forward: 0.06, allReduce: 0.1 }, allReduceBytes: 9 },
  }
}

/** The metrics of a coordinator in the middle of a run in which everything has happened once. */
export function busyMetrics(): Metrics {
  const metrics = new Metrics({ runId: 'r', config: resolveConfig({ model: 'gan', maxWorkers: 4 }) }, () => 1)
  const play = new Play(2).running('worker-0', 'worker-1').on({ kind: 'hello', workerId: 'worker-2' })
  metrics.watch(() => play.state)
  metrics.group(1, 2)
  metrics.reduces('exchange', play.state.topology)
  metrics.joined('worker-0', { host: 'h', backend: 'wasm 4.22.0', threads: 1 })
  metrics.heartbeat('worker-0', { step: 1, residentBytes: 1e8, tensors: 20, staleFrames: 1, malformedFrames: 0 })
  const scalars = { generatorLoss: 1, generatorGradientNorm: 2, kl: 3, discriminatorAccuracy: 0.5 }
  metrics.committed({ ...committedStep(1, scalars), skipped: true }, 3200, 0.25)
  metrics.recomputed(3)
  metrics.incident('dead')
  metrics.incidentOver({
    kind: 'dead',
    workerId: 'worker-1',
    step: 1,
    detectMs: 20,
    reformMs: 300,
    firstCommitMs: null,
  })
  metrics.checkpoint(12_345)
  metrics.alarm('files')
  metrics.evaluation({ step: 1, classifier: 'ab12', figures: { fid: 5 } })
  metrics.served(100)
  metrics.malformed()
  return metrics
}
