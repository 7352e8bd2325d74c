import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, vi } from 'vitest'
import { dieWithParent, root } from './cli.ts'
import { temporaryFolder } from './folder.ts'

export const slowly = { timeout: 60_000, interval: 300 }

/**
 * The rules of deploy/ with shorter times, so that a test does not wait for minutes; nothing else changes: whatever has to last
 * does so for a second; windows of rates are ten seconds, those that look for a change are of so many; an old checkpoint is one of ten seconds.
 */
export function hastened(rules: string): string {
  return rules
    .replaceAll(/for: \d+[sm]/g, 'for: 1s')
    .replaceAll('[1m]', '[10s]')
    .replaceAll('[2m]', '[15s]')
    .replaceAll('[5m]', '[5s]')
    .replaceAll('[30m]', '[15s]')
    .replaceAll('> 3600', '> 10')
}

/** A real Prometheus with the configuration of deploy/ that scrapes a coordinator, and the workers that it tells of, every second. */
export class Prometheus {
  readonly #child: ChildProcess
  readonly #port: number
  /** Alerts that have fired, whenever that was, as far as somebody looked. */
  readonly fired = new Set<string>()

  static async start(coordinator: string): Promise<Prometheus> {
    const folder = temporaryFolder()
    const port = await freePort()
    const read = (name: string) => readFileSync(join(root, 'deploy/prometheus', name), 'utf8')
    const config = read('prometheus.yml')
      .replaceAll('coordinator:9464', coordinator)
      .replaceAll('5s', '1s')
      .replace('localhost:9090', `127.0.0.1:${port}`)
    writeFileSync(join(folder, 'prometheus.yml'), config)
    writeFileSync(join(folder, 'rules.yml'), hastened(read('rules.yml')))
    const flags = [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ]
    const [command = '', ...args] = [...dieWithParent(), 'prometheus', ...flags]
    return new Prometheus(spawn(command, args, { stdio: 'ignore' }), port)
  }

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.#port = port
  }

  async get(path: string): Promise<unknown> {
    const answer = await fetch(`http://127.0.0.1:${this.#port}/api/v1/${path}`)
    return ((await answer.json()) as { data: unknown }).data
  }

  /** Values of an instant query. */
  async ask(query: string): Promise<number[]> {
    const data = (await this.get(`query?query=${encodeURIComponent(query)}`)) as {
      result: { value: [number, string] }[]
    }
    return data.result.map(({ value }) => Number(value[1]))
  }

  known(query: string, holds: (value: number) => boolean): Promise<void> {
    return vi.waitFor(async () => expect((await this.ask(query)).some(holds), query).toBe(true), slowly)
  }

  /** Addresses of the workers that are scraped now, by their names. */
  async workers(): Promise<Map<string | undefined, string>> {
    const data = (await this.get('targets?state=active')) as {
      activeTargets: { labels: Record<string, string>; scrapeUrl: string }[]
    }
    const found = data.activeTargets.filter(({ labels }) => labels.job === 'ringleader-worker')
    return new Map(found.map(({ labels, scrapeUrl }) => [labels.worker, scrapeUrl]))
  }

  /** Names of the alerts that fire now. */
  async firing(): Promise<string[]> {
    const { alerts } = (await this.get('alerts')) as { alerts: { labels: Record<string, string>; state: string }[] }
    const names = alerts.filter(({ state }) => state === 'firing').map(({ labels }) => labels.alertname ?? '')
    for (const name of names) this.fired.add(name)
    return names
  }

  fires(name: string): Promise<void> {
    return vi.waitFor(async () => expect(await this.firing()).toContain(name), slowly)
  }

  resolves(name: string): Promise<void> {
    return vi.waitFor(async () => expect(await this.firing()).not.toContain(name), slowly)
  }

  stop(): void {
    this.#child.kill('SIGKILL')
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
