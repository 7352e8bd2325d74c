import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { Cli, readJson, readLines, ringleader } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'
import { canMakeNamespaces, OwnProcesses, Spokes, TwoHosts } from '../support/namespaces.ts'

const run = ['coordinator', '--model', 'vae', '--seed', '1', '--http', '127.0.0.1:0']

describe.skipIf(!canMakeNamespaces)('between hosts', () => {
  const left: { remove(): void }[] = []

  afterEach(() => {
    for (const thing of left.splice(0)) thing.remove()
  })

  it('two workers on one and one on another train with hierarchical, each host found by its memory', async () => {
    const hosts = new TwoHosts()
    left.push(hosts)
    const [near, far] = [await OwnProcesses.start(), await OwnProcesses.start()]
    left.unshift(near, far)
    const folder = join(temporaryFolder(), 'run')
    const address = `tcp://${hosts.firstAddress}:7117`
    const options = ['--algorithm', 'hierarchical', '--steps', '30', '--min-workers', '3', '--bind', address]
    const coordinator = new Cli([...run, ...options, '--run-dir', folder], { within: hosts.on(hosts.first) })
    await coordinator.printed(/waiting for 3 workers/)
    const places = [
      { id: 'a', at: hosts.firstAddress, within: [...near.within, ...hosts.on(hosts.first)] },
      { id: 'b', at: hosts.secondAddress, within: [...far.within, ...hosts.on(hosts.second)] },
      { id: 'c', at: hosts.firstAddress, within: [...near.within, ...hosts.on(hosts.first)] },
    ]
    const workers = places.map(
      ({ id, at, within }) =>
        new Cli(['worker', '--coordinator', address, '--bind', `tcp://${at}:0`, '--id', id], { within }),
    )
    expect(await coordinator.finished).toMatchObject({ code: 0 })
    for (const worker of workers) expect(await worker.finished).toMatchObject({ code: 0 })
    expect(readJson(join(folder, 'summary.json'))).toMatchObject({ status: 'completed', steps: 30, incidents: [] })
    const events = readLines(join(folder, 'events.jsonl'))
    const { topology, ...algorithm } = events.find(({ kind }) => kind === 'algorithm') ?? {}
    expect(algorithm).toMatchObject({ name: 'hierarchical', reason: '--algorithm hierarchical' })
    expect(topology).toMatchObject({ hub: false, inside: expect.anything(), between: expect.anything() })
    const { hosts: hostOf } = topology as { hosts: number[] }
    expect(hostOf.toSorted((x, y) => x - y)).toHaveLength(3)
    expect(new Set(hostOf).size).toBe(2)
  })

  it('two that reach the coordinator but not each other train through it, by themselves', async () => {
    const spokes = new Spokes()
    left.push(spokes)
    const folder = join(temporaryFolder(), 'run')
    const options = ['--steps', '30', '--min-workers', '2', '--bind', 'tcp://0.0.0.0:7117']
    const coordinator = new Cli([...run, ...options, '--run-dir', folder], { within: spokes.on(0) })
    await coordinator.printed(/waiting for 2 workers/)
    const workers = ([1, 2] as const).map((spoke) => {
      const to = [
        '--coordinator',
        `tcp://${spokes.hubAddress(spoke)}:7117`,
        '--bind',
        `tcp://${spokes.address(spoke)}:0`,
      ]
      return new Cli(['worker', ...to, '--id', `w${spoke}`], { within: spokes.on(spoke) })
    })
    expect(await coordinator.finished).toMatchObject({ code: 0 })
    for (const worker of workers) expect(await worker.finished).toMatchObject({ code: 0 })
    const { status, steps, worldSizes, incidents } = readJson(join(folder, 'summary.json'))
    expect({ status, steps, incidents }).toEqual({ status: 'completed', steps: 30, incidents: [] })
    expect(worldSizes).toMatchObject([1, 2, 3, 4].map((generation) => ({ generation, worldSize: 2, step: 0 })))
    const chosen = readLines(join(folder, 'events.jsonl')).filter(({ kind }) => kind === 'algorithm')
    expect(chosen.at(-1)).toMatchObject({ generation: 4, name: 'star', topology: { hub: true } })
    expect(chosen.at(-1)?.reason).toMatch(/do not reach each other/)
  })
})

describe('a star', () => {
  it('waits while its coordinator is away, and loses no step and no bit by it', async () => {
    const plan = join(temporaryFolder(), 'plan.yaml')
    const faults = [
      { kind: 'coordinator-kill', at: { step: 20 } },
      { kind: 'kill', at: { step: 50 }, worker: 'worker-1' },
    ]
    writeFileSync(plan, JSON.stringify({ faults }))
    const { code, stdout, stderr } = await ringleader(
      ...['chaos', '--algorithm', 'star', '--plan', plan, '--workers', '2', '--steps', '100', '--json'],
      ...['--run-dir', join(temporaryFolder(), 'chaos')],
    )
    expect(stderr).not.toContain('Error')
    const verdict = JSON.parse(stdout)
    expect(verdict).toMatchObject({ passed: true, violations: [], stepsLost: 0 })
    expect(verdict.fired).toHaveLength(2)
    expect(verdict.weightsSha256).toBe(verdict.referenceSha256)
    expect(code).toBe(0)
  })
})
