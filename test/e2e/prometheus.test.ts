import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import { parse } from 'yaml'
import { dashboards } from '../../deploy/grafana/source/dashboards.ts'
import { Cli, childrenOf, hasTool, root, waitForStep } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'
import { freePort, Prometheus, slowly } from '../support/prometheus.ts'

const long = ['--steps', '100000', '--threads', '1', '--checkpoint-every', '100000']

/** Panels that have no data in a healthy run, and why. */
const withoutData: Readonly<Record<string, string>> = {
  Quality: 'no --evaluate-every: nothing is evaluated',
  'Evaluated step': 'the same',
  'Balance of the networks': 'a VAE has no discriminator; asked for of a GAN',
  Alarms: 'there are none; asked for where one is raised',
}

/** Data for each query of these panels. */
async function haveData(prometheus: Prometheus, wanted: (title: string) => boolean): Promise<void> {
  const panels = Object.values(dashboards).flatMap((dashboard) => dashboard.panels)
  for (const { title, queries } of panels.filter((panel) => wanted(panel.title)))
    for (const { expr } of queries) {
      const query = expr.replaceAll('$__rate_interval', '15s').replaceAll(/\$(job|instance)/g, '.+')
      await vi.waitFor(async () => expect(await prometheus.ask(query), `${title}: ${query}`).not.toEqual([]), slowly)
    }
}

describe.skipIf(!hasTool('prometheus', '--version'))('a real Prometheus', () => {
  it('finds workers by the configuration of deploy/ as they come and go, and has data for each panel and rule', async () => {
    const run = ['--workers', '3', '--http', '127.0.0.1:0', '--run-dir', join(temporaryFolder(), 'run')]
    const train = new Cli(['train', ...long, ...run, '--inspect-every', '50'])
    const [, address] = await train.printed(/metrics at http:\/\/([\d.:]+)\/metrics/)
    const prometheus = await Prometheus.start(String(address))
    try {
      await prometheus.known('ringleader_world_size_workers{job="ringleader"}', (count) => count === 3)
      await prometheus.known('count(up{job="ringleader-worker"} == 1)', (count) => count === 3)
      const before = await prometheus.workers()
      expect([...before.keys()].sort()).toEqual(['worker-0', 'worker-1', 'worker-2'])
      expect(await prometheus.firing()).not.toContain('RingleaderWorkerLost')
      const [victim = 0] = childrenOf(train.child.pid, 'worker-process')
      process.kill(victim, 'SIGKILL')
      await prometheus.fires('RingleaderWorkerLost')
      // The one that was killed is gone; `train` starts it again, at another port.
      await vi.waitFor(async () => {
        const now = [...(await prometheus.workers()).values()]
        expect(now).toHaveLength(3)
        expect(now.filter((url) => ![...before.values()].includes(url))).toHaveLength(1)
      }, slowly)
      await prometheus.known('ringleader_incidents_total{job="ringleader",kind="dead"}', (count) => count === 1)
      await haveData(prometheus, (title) => !(title in withoutData))
      const { groups } = (await prometheus.get('rules')) as {
        groups: { rules: { name: string; type: string; health: string; lastError?: string }[] }[]
      }
      for (const { name, type, health, lastError } of groups.flatMap((group) => group.rules)) {
        expect(health, `${name}: ${lastError}`).toBe('ok')
        if (type === 'recording') expect(await prometheus.ask(name), name).not.toEqual([])
      }
      await prometheus.resolves('RingleaderWorkerLost')
    } finally {
      prometheus.stop()
    }
    train.kill('SIGINT')
    expect((await train.finished).code).toBe(130)
  })

  it('warns of what befalls a run, and says when it is over', async () => {
    const folder = join(temporaryFolder(), 'run')
    const run = ['--workers', '3', '--fault-timeout', '60', '--http', '127.0.0.1:0', '--run-dir', folder]
    const slow = join(temporaryFolder(), 'slow')
    const preload = `--require ${join(root, 'test/support/slow-process.cjs')}`
    const train = new Cli(['train', ...long, ...run], { env: { NODE_OPTIONS: preload, SLOW_PROCESS: slow } })
    const [, address] = await train.printed(/metrics at http:\/\/([\d.:]+)\/metrics/)
    const [, tokenFile = ''] = await train.printed(/token for its actions in (\S+)/)
    const act = async (name: string, body = '{}') => {
      const headers = { authorization: `Bearer ${readFileSync(tokenFile, 'utf8').trim()}` }
      const answer = await fetch(`http://${address}/api/actions/${name}`, { method: 'POST', headers, body })
      expect(answer.status, await answer.text()).toBe(200)
    }
    await waitForStep(train, folder, 50)
    const prometheus = await Prometheus.start(String(address))
    try {
      await prometheus.known('ringleader_world_size_workers{job="ringleader"}', (count) => count === 3)
      await prometheus.fires('RingleaderCheckpointOld') // hastened: nothing is saved for ten seconds
      await act('checkpoint')
      await prometheus.resolves('RingleaderCheckpointOld')

      await act('pause')
      await prometheus.fires('RingleaderPaused')
      await act('resume')
      await prometheus.resolves('RingleaderPaused')

      await prometheus.known('rate(ringleader_steps_total[3s])', (rate) => rate > 0)
      writeFileSync(slow, 'stall')
      await prometheus.fires('RingleaderStuck')
      rmSync(slow)
      await prometheus.resolves('RingleaderStuck')
      await prometheus.known('rate(ringleader_steps_total[3s])', (rate) => rate > 0)

      const halting = haltingNowAndThen(childrenOf(train.child.pid, 'worker-process')[0] ?? 0, 400, 400)
      await prometheus.fires('RingleaderWorkerSlow')
      halting.abort()
      await prometheus.resolves('RingleaderWorkerSlow')

      const [coordinator = 0] = childrenOf(train.child.pid, 'coordinator-process')
      const lagging = haltingNowAndThen(coordinator, 600, 100)
      await prometheus.fires('RingleaderCoordinatorLags')
      lagging.abort()
      await prometheus.resolves('RingleaderCoordinatorLags')

      const checkpoints = join(folder, 'checkpoints')
      renameSync(checkpoints, `${checkpoints}.kept`)
      writeFileSync(checkpoints, 'no folder')
      await act('checkpoint')
      await prometheus.fires('RingleaderAlarm')
      rmSync(checkpoints)
      renameSync(`${checkpoints}.kept`, checkpoints)
      await act('checkpoint')
      await prometheus.resolves('RingleaderAlarm')

      await act('drain', '{"workerId": "worker-2"}')
      await prometheus.fires('RingleaderWorkersMissing')
      await vi.waitFor(async () => expect([...(await prometheus.workers()).keys()]).not.toContain('worker-2'), slowly)
      await prometheus.resolves('RingleaderWorkersMissing')
    } finally {
      prometheus.stop()
    }
    train.kill('SIGINT')
    expect((await train.finished).code).toBe(130)
  })

  it('warns of a training that goes wrong, and of a coordinator that is gone', async () => {
    const port = await freePort()
    const train = (...options: string[]) => {
      const run = ['--workers', '1', '--http', `127.0.0.1:${port}`, '--run-dir', join(temporaryFolder(), 'run')]
      return new Cli(['train', ...long, ...run, ...options])
    }
    const end = async (run: Cli) => {
      run.kill('SIGINT')
      expect((await run.finished).code).toBe(130)
    }
    const prometheus = await Prometheus.start(`127.0.0.1:${port}`)
    try {
      await prometheus.fires('RingleaderDown')
      const skipping = train('--max-gradient-norm', '0.001', '--max-skips', '0')
      await prometheus.resolves('RingleaderDown')
      await prometheus.fires('RingleaderStepsSkipped')
      await end(skipping)
      await prometheus.resolves('RingleaderStepsSkipped')
      await prometheus.fires('RingleaderDown')
      const collapsing = train('--beta', '300', '--inspect-every', '60')
      await prometheus.fires('RingleaderUnstable')
      await haveData(prometheus, (title) => title === 'Alarms')
      await end(collapsing)
      await prometheus.resolves('RingleaderUnstable')
      const gan = train('--model', 'gan', '--batch-size', '32')
      await haveData(prometheus, (title) => title === 'Balance of the networks')
      await end(gan)
    } finally {
      prometheus.stop()
    }
  })

  it('is asked for each alert above', () => {
    const { groups } = parse(readFileSync(join(root, 'deploy/prometheus/rules.yml'), 'utf8')) as {
      groups: { rules: { alert?: string }[] }[]
    }
    const own = readFileSync(join(root, 'test/e2e/prometheus.test.ts'), 'utf8')
    for (const { alert } of groups.flatMap(({ rules }) => rules)) {
      if (!alert) continue
      expect(own).toContain(`fires('${alert}')`)
      expect(own).toContain(`resolves('${alert}')`)
    }
  })
})

/** A process stands still for so long, and goes on for so long, until it is aborted. */
function haltingNowAndThen(pid: number, stillMs: number, onMs: number): AbortController {
  const over = new AbortController()
  void (async () => {
    while (!over.signal.aborted) {
      process.kill(pid, 'SIGSTOP')
      await sleep(stillMs)
      process.kill(pid, 'SIGCONT')
      await sleep(onMs)
    }
  })()
  return over
}
