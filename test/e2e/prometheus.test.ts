import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { Cli, childrenOf, dieWithParent, hasTool, root } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const hasPrometheus = hasTool('prometheus', '--version')

describe.skipIf(!hasPrometheus)('a real Prometheus', () => {
  it('finds workers by the configuration of deploy/ as they come and go', async () => {
    const folder = temporaryFolder()
    const run = ['--workers', '3', '--steps', '100000', '--http', '127.0.0.1:0', '--run-dir', join(folder, 'run')]
    const train = new Cli(['train', ...run])
    const [, address] = await train.printed(/metrics at http:\/\/([\d.:]+)\/metrics/)
    const port = await freePort()
    const config = readFileSync(join(root, 'deploy/prometheus/prometheus.yml'), 'utf8')
    writeFileSync(
      join(folder, 'prometheus.yml'),
      config
        .replaceAll('coordinator:9464', String(address))
        .replaceAll('5s', '1s')
        .replace('localhost:9090', `127.0.0.1:${port}`),
    )
    const flags = [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ]
    const [command = '', ...args] = [...dieWithParent(), 'prometheus', ...flags]
    const prometheus = spawn(command, args, { stdio: 'ignore' })
    try {
      const get = async (path: string) => {
        const answer = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)
        return ((await answer.json()) as { data: unknown }).data
      }
      const ask = async (query: string) => {
        const data = (await get(`query?query=${encodeURIComponent(query)}`)) as {
          result: { value: [number, string] }[]
        }
        return data.result.map(({ value }) => Number(value[1]))
      }
      const known = (query: string, holds: (value: number) => boolean) =>
        vi.waitFor(async () => expect((await ask(query)).some(holds), query).toBe(true), slowly)
      /** Addresses of the workers that Prometheus scrapes now, by their names. */
      const workers = async () => {
        const data = (await get('targets?state=active')) as {
          activeTargets: { labels: Record<string, string>; scrapeUrl: string }[]
        }
        const found = data.activeTargets.filter(({ labels }) => labels.job === 'ringleader-worker')
        return new Map(found.map(({ labels, scrapeUrl }) => [labels.worker, scrapeUrl]))
      }
      await known('ringleader_world_size_workers{job="ringleader"}', (count) => count === 3)
      await known('count(up{job="ringleader-worker"} == 1)', (count) => count === 3)
      await known('rate(ringleader_images_total{job="ringleader"}[10s])', (rate) => rate > 0)
      await known('min(ringleader_rank_steps_total{job="ringleader-worker"})', (steps) => steps > 0)
      await known(
        'histogram_quantile(0.95, sum by (le) (rate(ringleader_step_seconds_bucket{job="ringleader"}[10s])))',
        (seconds) => seconds > 0 && seconds < 60,
      )
      const before = await workers()
      expect([...before.keys()].sort()).toEqual(['worker-0', 'worker-1', 'worker-2'])
      const victim = childrenOf(train.child.pid, 'worker-process')[0]
      if (victim !== undefined) process.kill(victim, 'SIGKILL')
      // The one that was killed is gone; `train` starts it again, at another port.
      await vi.waitFor(async () => {
        const now = [...(await workers()).values()]
        expect(now).toHaveLength(3)
        expect(now.filter((url) => ![...before.values()].includes(url))).toHaveLength(1)
      }, slowly)
      await known('ringleader_incidents_total{job="ringleader",kind="dead"}', (count) => count === 1)
    } finally {
      prometheus.kill('SIGKILL')
    }
    train.kill('SIGINT')
    expect((await train.finished).code).toBe(130)
  })
})

const slowly = { timeout: 60_000, interval: 500 }

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
