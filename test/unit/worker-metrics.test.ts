import { describe, expect, it } from 'vitest'
import { discovered } from '../../coordinator/http/discovery.ts'
import { Flights } from '../../worker/flights.ts'
import { besideData, openMetricsServer } from '../../worker/metrics/metrics-server.ts'
import { WorkerMetrics } from '../../worker/metrics/worker-metrics.ts'
import { counter } from '../../worker/thread-messages.ts'
import { committedStep } from '../support/metrics.ts'

describe("a worker's own metrics", () => {
  it('tell its steps, and how it stands when somebody asks', async () => {
    const metrics = new WorkerMetrics()
    metrics.committed([committedStep(1), committedStep(2)], 0)
    let rank = 1
    metrics.watch(() => ({
      generation: 3,
      rank,
      step: 2,
      tensors: 20,
      unnotedSteps: 5,
      earlyBytes: 64,
      connected: true,
    }))
    const text = await metrics.registry.metrics()
    expect(text).toContain('\nringleader_rank_steps_total 2\n')
    expect(text).toContain('\nringleader_rank_step_phase_seconds_count{phase="forward"} 2\n')
    expect(text).toContain('\nringleader_rank 1\n')
    expect(text).toContain('\nringleader_rank_unnoted_steps 5\n')
    expect(text).toContain('\nringleader_rank_early_bytes 64\n')
    expect(text).toContain('\nringleader_rank_connected 1\n')
    rank = 0
    expect(await metrics.registry.metrics()).toContain('\nringleader_rank 0\n')
  })

  it('tell how long gradients travelled while it computed on', async () => {
    const metrics = new WorkerMetrics()
    const flights = new Flights()
    const overlapped = async () =>
      Number(/\nringleader_rank_allreduce_overlapped_seconds_total (\S+)/.exec(await metrics.registry.metrics())?.[1])
    for (const [from, to] of [
      [1000, 1400],
      [5000, 5100],
    ] as const) {
      flights.begin(from)
      flights.begin(from + 50) // two at the same time
      flights.end(to - 20)
      flights.end(to)
    }
    const waited = committedStep(1).allReduceSeconds
    metrics.committed([committedStep(1)], flights.take())
    expect(await overlapped()).toBeCloseTo(0.5 - waited)
    flights.begin(6000) // not at its end yet
    metrics.committed([committedStep(2)], flights.take())
    expect(await overlapped()).toBeCloseTo(0.5 - waited)
  })

  it("tell what its GPU does, beyond the counters' turn-over", async () => {
    const counters = new Int32Array(counter.count)
    const metrics = new WorkerMetrics(counters)
    const seconds = async () =>
      Number(/\nringleader_rank_device_read_seconds_total (\S+)/.exec(await metrics.registry.metrics())?.[1])
    expect(await seconds()).toBe(0)
    for (const told of [1500, 3000, 4500]) {
      counters[counter.readMicros] = told * 1e6 // more than 32 bits of them at the last
      expect(await seconds()).toBeCloseTo(told)
    }
    counters[counter.deviceKiB] = 3 * 2 ** 30 // more than 31 bits
    expect(await metrics.registry.metrics()).toContain(`\nringleader_rank_device_memory_bytes ${3 * 2 ** 40}\n`)
  })

  it('are served at any free port of the host that the data are at, and nothing else is', async () => {
    const server = await openMetricsServer(besideData('tcp://127.0.0.1:7118'), null, () => Promise.resolve('a 1\n'))
    const ask = (path: string, init?: RequestInit) => fetch(`http://${server.address}${path}`, init)
    expect(server.address).toMatch(/^127\.0\.0\.1:\d+$/)
    expect(await (await ask('/metrics')).text()).toBe('a 1\n')
    expect((await ask('/')).status).toBe(404)
    expect((await ask('/metrics', { method: 'POST' })).status).toBe(405)
    const port = Number(server.address.split(':')[1])
    await expect(openMetricsServer({ host: '127.0.0.1', port }, null, () => Promise.resolve(''))).rejects.toThrow(
      'write another --metrics HOST:PORT',
    )
    server.close()
  })

  it('are announced by the host that others know', async () => {
    const server = await openMetricsServer({ host: '127.0.0.1', port: 0 }, 'tcp://worker-7.lab:7118', () =>
      Promise.resolve(''),
    )
    expect(server.address).toMatch(/^worker-7\.lab:\d+$/)
    server.close()
  })
})

it('discovery is a list of targets with labels, as Prometheus reads it', () => {
  expect(discovered('r', [{ workerId: 'w0', address: '127.0.0.1:1234', rank: 0 }])).toEqual([
    {
      targets: ['127.0.0.1:1234'],
      labels: { worker: 'w0', __meta_ringleader_run_id: 'r', __meta_ringleader_rank: '0' },
    },
  ])
  expect(discovered('r', [])).toEqual([])
})
