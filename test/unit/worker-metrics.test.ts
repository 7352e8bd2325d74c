import { describe, expect, it } from 'vitest'
import { discovered } from '../../coordinator/http/discovery.ts'
import { besideData, openMetricsServer } from '../../worker/metrics/metrics-server.ts'
import { WorkerMetrics } from '../../worker/metrics/worker-metrics.ts'
import { committedStep } from '../support/metrics.ts'

describe("a worker's own metrics", () => {
  it('tell its steps, and how it stands when somebody asks', async () => {
    const metrics = new WorkerMetrics()
    metrics.committed([committedStep(1), committedStep(2)])
    let rank = 1
    metrics.watch(() => ({ generation: 3, rank, step: 2, tensors: 20, unnotedSteps: 5, connected: true }))
    const text = await metrics.registry.metrics()
    expect(text).toContain('\nringleader_rank_steps_total 2\n')
    expect(text).toContain('\nringleader_rank_step_phase_seconds_count{phase="forward"} 2\n')
    expect(text).toContain('\nringleader_rank 1\n')
    expect(text).toContain('\nringleader_rank_unnoted_steps 5\n')
    expect(text).toContain('\nringleader_rank_connected 1\n')
    rank = 0
    expect(await metrics.registry.metrics()).toContain('\nringleader_rank 0\n')
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
