import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { Cli, dieWithParent, hasTool, root } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const hasPrometheus = hasTool('prometheus', '--version')

describe.skipIf(!hasPrometheus)('a real Prometheus', () => {
  it('scrapes a run with the configuration of deploy/, and answers what the dashboard asks', async () => {
    const folder = temporaryFolder()
    const train = new Cli(['train', '--steps', '100000', '--http', '127.0.0.1:0', '--run-dir', join(folder, 'run')])
    const [, address] = await train.printed(/metrics at http:\/\/([\d.:]+)\/metrics/)
    const port = await freePort()
    const config = readFileSync(join(root, 'deploy/prometheus/prometheus.yml'), 'utf8')
    writeFileSync(
      join(folder, 'prometheus.yml'),
      config
        .replace('coordinator:9464', String(address))
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
      const ask = async (query: string) => {
        const answer = await fetch(`http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(query)}`)
        const { data } = (await answer.json()) as { data: { result: { value: [number, string] }[] } }
        return data.result.map(({ value }) => Number(value[1]))
      }
      const known = (query: string, holds: (value: number) => boolean) =>
        vi.waitFor(async () => expect((await ask(query)).some(holds), query).toBe(true), {
          timeout: 60_000,
          interval: 500,
        })
      await known('up{job="ringleader"}', (up) => up === 1)
      await known('ringleader_world_size_workers{job="ringleader"}', (workers) => workers === 2)
      await known('rate(ringleader_images_total{job="ringleader"}[10s])', (rate) => rate > 0)
      await known(
        'histogram_quantile(0.95, sum by (le) (rate(ringleader_step_seconds_bucket{job="ringleader"}[10s])))',
        (seconds) => seconds > 0 && seconds < 60,
      )
    } finally {
      prometheus.kill('SIGKILL')
    }
    train.kill('SIGINT')
    expect((await train.finished).code).toBe(130)
  })
})

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
