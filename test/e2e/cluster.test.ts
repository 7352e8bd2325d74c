import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { Cli, readJson, readLines, waitForStep } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'
import { canMakeNamespaces, TwoHosts } from '../support/namespaces.ts'

const complete = [{ epoch: 0, distinct: 60_000, duplicates: 0, missing: 0 }]

describe('a coordinator and workers started by hand', () => {
  it('train an epoch together; the workers need the address alone', async () => {
    const folder = join(temporaryFolder(), 'run')
    const coordinator = new Cli([
      'coordinator',
      '--model',
      'vae',
      '--epochs',
      '1',
      '--seed',
      '1',
      '--min-workers',
      '2',
      '--bind',
      'tcp://127.0.0.1:0',
      '--http',
      '127.0.0.1:0',
      '--run-dir',
      folder,
    ])
    const [, address] = await coordinator.printed(/waiting for 2 workers at (tcp:\S+)/)
    const [, http] = await coordinator.printed(/metrics at http:\/\/([\d.:]+)\/metrics/)
    const workers = ['b', 'a'].map((id) => new Cli(['worker', '--coordinator', String(address), '--id', id]))
    await coordinator.printed(/generation 1: 2 workers/)
    const status = await new Cli(['status', '--http', String(http), '--json']).finished
    expect(JSON.parse(status.stdout)).toMatchObject({
      model: 'vae',
      phase: 'running',
      worldSize: 2,
      totalSteps: 469,
    })
    // Ranks follow the order in which the workers came, which two processes started together do not fix.
    const group: { workerId: string; rank: number }[] = JSON.parse(status.stdout).workers
    expect(group.map((worker) => worker.workerId).sort()).toEqual(['a', 'b'])
    expect(group.map((worker) => worker.rank).sort()).toEqual([0, 1])
    expect((await coordinator.finished).code).toBe(0)
    for (const worker of workers) expect((await worker.finished).code).toBe(0)
    expect(readJson(join(folder, 'summary.json'))).toMatchObject({ status: 'completed', coverage: complete })
  })

  it('a worker gives up with a reason when the coordinator does not come back', async () => {
    const { coordinator, worker } = await pair('--reconnect-timeout', '4')
    coordinator.kill('SIGKILL')
    const { code, stderr } = await worker.finished
    expect(stderr).toMatch(/the coordinator at tcp:\S+ is silent for 4 s/)
    expect(code).toBe(75)
  })

  it('a worker that stood still as long as its coordinator does not take that for silence', async () => {
    const { coordinator, worker, folder } = await pair('--reconnect-timeout', '4')
    await waitForStep(coordinator, folder, 5)
    for (const process of [coordinator, worker]) process.kill('SIGSTOP')
    await sleep(6000)
    worker.kill('SIGCONT')
    await sleep(1000)
    coordinator.kill('SIGCONT')
    await waitForStep(coordinator, folder, readLines(join(folder, 'metrics.jsonl')).length + 50)
    coordinator.kill('SIGTERM')
    expect((await coordinator.finished).code).toBe(130)
    expect((await worker.finished).code).toBe(0)
    expect(readJson(join(folder, 'summary.json'))).toMatchObject({ status: 'interrupted', incidents: [] })
  })

  it('a worker that is told to go leaves at a step boundary; one that comes later enters at one', async () => {
    const { coordinator, worker, folder, address } = await pair()
    const second = new Cli(['worker', '--coordinator', address, '--id', 'second'])
    await coordinator.printed(/generation 2: 2 workers/)
    worker.kill('SIGTERM')
    expect((await worker.finished).code).toBe(0)
    await coordinator.printed(/generation 3: 1 worker,/)
    coordinator.kill('SIGTERM')
    expect((await coordinator.finished).code).toBe(130)
    expect((await second.finished).code).toBe(0)
    const summary = readJson(join(folder, 'summary.json'))
    expect(summary).toMatchObject({ status: 'interrupted', incidents: [] })
    expect(summary.coverage).toMatchObject([{ duplicates: 0 }])
  })

  it('save and end as interrupted when the coordinator gets SIGTERM', async () => {
    const { coordinator, worker, folder } = await pair()
    coordinator.kill('SIGTERM')
    expect((await coordinator.finished).code).toBe(130)
    expect((await worker.finished).code).toBe(0)
    expect(readJson(join(folder, 'summary.json')).status).toBe('interrupted')
  })
})

describe.skipIf(!canMakeNamespaces)('in two network namespaces', () => {
  let hosts: TwoHosts | null = null

  afterEach(() => hosts?.remove())

  it('a worker on each train; the link is cut and healed: never two groups, and both sides agree after', async () => {
    hosts = new TwoHosts()
    const { first, second, firstAddress, secondAddress } = hosts
    const folder = join(temporaryFolder(), 'run')
    const address = `tcp://${firstAddress}:7117`
    const coordinator = new Cli(
      [
        ...['coordinator', '--model', 'vae', '--epochs', '3', '--seed', '1', '--min-workers', '1'],
        ...['--bind', address, '--http', '127.0.0.1:0', '--run-dir', folder],
      ],
      { within: hosts.on(first) },
    )
    await coordinator.printed(/waiting for 1 worker/)
    const start = (id: string, host: string, at: string) =>
      new Cli(['worker', '--coordinator', address, '--bind', `tcp://${at}:0`, '--id', id], {
        within: hosts?.on(host) ?? [],
      })
    const near = start('near', first, firstAddress)
    const far = start('far', second, secondAddress)
    await coordinator.printed(/: 2 workers/)
    await waitForStep(coordinator, folder, 20) // by then both hold the state
    hosts.cut()
    await coordinator.printed(/far is lost: silent for \d/)
    await coordinator.printed(/: 1 worker,/)
    hosts.heal()
    await coordinator.printed(/: 1 worker,[\s\S]*: 2 workers/)
    expect((await coordinator.finished).code).toBe(0)
    expect((await near.finished).code).toBe(0)
    expect((await far.finished).code).toBe(0)
    const summary = readJson(join(folder, 'summary.json'))
    expect(summary).toMatchObject({ status: 'completed', incidents: [{ kind: 'silent', workerId: 'far' }] })
    expect(summary.coverage).toEqual([0, 1, 2].map((epoch) => ({ ...complete[0], epoch })))
    // One line of steps, each committed once: two groups stepping would fork it.
    const steps = readLines(join(folder, 'metrics.jsonl')).map(({ step }) => step)
    expect(steps).toEqual(Array.from({ length: 3 * 469 }, (_, index) => index + 1))
  })
})

/** A coordinator and one worker that have begun a long run. */
async function pair(...flags: string[]): Promise<{ coordinator: Cli; worker: Cli; folder: string; address: string }> {
  const folder = join(temporaryFolder(), 'run')
  const addresses = ['--bind', 'tcp://127.0.0.1:0', '--http', '127.0.0.1:0']
  const coordinator = new Cli(['coordinator', '--steps', '100000', ...addresses, '--run-dir', folder])
  const [, address] = await coordinator.printed(/at (tcp:\S+)/)
  const worker = new Cli(['worker', '--coordinator', String(address), ...flags])
  await coordinator.printed(/generation 1/)
  return { coordinator, worker, folder, address: String(address) }
}
