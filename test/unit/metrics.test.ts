import { describe, expect, it } from 'vitest'
import { Metrics } from '../../coordinator/metrics/metrics.ts'
import { resolveConfig } from '../../shared/core/config.ts'
import { limits } from '../../shared/core/limits.ts'
import { busyMetrics, committedStep } from '../support/metrics.ts'

const fresh = () => new Metrics({ runId: 'r', config: resolveConfig({ model: 'gan', minWorkers: 1, maxWorkers: 4 }) })

/** Value of one series. */
async function value(metrics: Metrics, series: string): Promise<number | undefined> {
  const lines = (await metrics.registry.metrics()).split('\n')
  const line = lines.find((candidate) => candidate.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

describe('the metrics of a coordinator', () => {
  it('tell steps with their parts, and all-reduce by wire and algorithm', async () => {
    const metrics = fresh()
    const topology = { inside: null, between: null, hub: false }
    metrics.reduces('exchange', { ...topology, hosts: [0, 0, 0] })
    metrics.committed(committedStep(1), 100)
    metrics.reduces('ring', { ...topology, hosts: [0, 1, 2] })
    metrics.committed(committedStep(2), 100)
    metrics.reduces('hierarchical', { ...topology, hosts: [0, 0, 1] })
    metrics.committed(committedStep(3), 100)
    metrics.reduces('star', { ...topology, hosts: [0, 0], hub: true })
    metrics.committed(committedStep(4), 100)
    const sent = (wire: string, algorithm: string) =>
      value(metrics, `ringleader_allreduce_sent_bytes_total{wire="${wire}",algorithm="${algorithm}"}`)
    expect(await sent('shm', 'exchange')).toBe(9)
    expect(await sent('tcp', 'ring')).toBe(9)
    expect(await sent('mixed', 'hierarchical')).toBe(9)
    expect(await sent('tcp', 'star')).toBe(9)
    expect(await value(metrics, 'ringleader_step_phase_seconds_sum{phase="forward"}')).toBeCloseTo(0.24)
    expect(await value(metrics, 'ringleader_step_seconds_count')).toBe(4)
  })

  it('take any scalar: losses, norms and the rest; no more names than the limit', async () => {
    const metrics = fresh()
    metrics.committed(committedStep(1, { vaeLoss: 1, kl: 2, vaeGradientNorm: 3, activeUnits: 4 }), 1)
    expect(await value(metrics, 'ringleader_loss{name="vaeLoss"}')).toBe(1)
    expect(await value(metrics, 'ringleader_loss{name="kl"}')).toBe(2)
    expect(await value(metrics, 'ringleader_gradient_norm{name="vaeGradientNorm"}')).toBe(3)
    expect(await value(metrics, 'ringleader_stability{name="activeUnits"}')).toBe(4)
    const many = Object.fromEntries(Array.from({ length: 10 * limits.metricNames }, (_, index) => [`n${index}`, index]))
    metrics.committed(committedStep(2, many), 1)
    const names = [...(await metrics.registry.metrics()).matchAll(/^ringleader_stability\{/gm)]
    expect(names.length).toBeLessThanOrEqual(limits.metricNames)
    expect(await value(metrics, 'ringleader_stability{name="other"}')).toBeDefined()
  })

  it('have incidents and alarms at zero before the first, or nobody would see its increase', async () => {
    const metrics = fresh()
    expect(await value(metrics, 'ringleader_incidents_total{kind="dead"}')).toBe(0)
    expect(await value(metrics, 'ringleader_incident_seconds_count{kind="stalled",phase="reform"}')).toBe(0)
    expect(await value(metrics, 'ringleader_alarms_total{kind="files"}')).toBe(0)
    metrics.alarm('files')
    expect(await value(metrics, 'ringleader_alarm{kind="files"}')).toBe(1)
    metrics.alarm('files', false)
    expect(await value(metrics, 'ringleader_alarm{kind="files"}')).toBe(0)
    expect(await value(metrics, 'ringleader_alarms_total{kind="files"}')).toBe(1)
  })

  it('tell members by state, phase, stopwatch and checkpoint', async () => {
    const metrics = busyMetrics()
    expect(await value(metrics, 'ringleader_members{state="running"}')).toBe(2)
    expect(await value(metrics, 'ringleader_members{state="warming"}')).toBe(1)
    expect(await value(metrics, 'ringleader_members{state="halted"}')).toBe(0)
    expect(await value(metrics, 'ringleader_phase{phase="running"}')).toBe(1)
    expect(await value(metrics, 'ringleader_phase{phase="waiting"}')).toBe(0)
    expect(await value(metrics, 'ringleader_incident_seconds_sum{kind="dead",phase="reform"}')).toBeCloseTo(0.3)
    expect(await value(metrics, 'ringleader_incident_seconds_count{kind="dead",phase="firstCommit"}')).toBe(0)
    expect(await value(metrics, 'ringleader_incident_cost_seconds_total')).toBe(0.25)
    expect(await value(metrics, 'ringleader_checkpoint_step')).toBe(1)
    expect(await value(metrics, 'ringleader_checkpoint_size_bytes')).toBe(12_345)
    expect(await value(metrics, 'ringleader_checkpoint_timestamp_seconds')).toBeGreaterThan(1.7e9)
  })

  it('forget a worker that is gone, and figures of another classifier', async () => {
    const metrics = busyMetrics()
    const worker = /worker="worker-0"/
    expect(await metrics.registry.metrics()).toMatch(worker)
    metrics.joined('worker-0', { host: 'other', backend: 'wasm 4.22.0', threads: 1 })
    expect((await metrics.registry.metrics()).match(/ringleader_worker_info\{/g)).toHaveLength(1)
    expect(
      await value(
        metrics,
        'ringleader_worker_info{worker="worker-0",host="other",backend="wasm 4.22.0",device="cpu",threads="1"}',
      ),
    ).toBe(1)
    metrics.joined('worker-0', { host: 'other', backend: 'webgpu 4.22.0 on Arc A770', threads: 1 })
    expect(await metrics.registry.metrics()).toContain('backend="webgpu 4.22.0",device="Arc A770"')
    metrics.gone('worker-0')
    expect(await metrics.registry.metrics()).not.toMatch(worker)
    metrics.evaluation({ step: 2, classifier: 'cd34', figures: { fid: 4 } })
    expect(await value(metrics, 'ringleader_evaluation{figure="fid",classifier="cd34"}')).toBe(4)
    expect(await metrics.registry.metrics()).not.toContain('ab12')
  })
})
