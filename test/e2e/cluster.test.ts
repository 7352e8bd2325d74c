import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { Cli, readJson, readLines } from '../support/cli.ts'
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

  it('end with a reason on both sides when the coordinator is killed', async () => {
    const { coordinator, worker } = await pair()
    coordinator.kill('SIGKILL')
    const { code, stderr } = await worker.finished
    expect(stderr).toMatch(/the coordinator at tcp:\S+ is silent for 5 s/)
    expect(code).toBe(75)
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

  it('a worker on each trains an epoch; when the link is cut, the run ends with its reason and resumes', async () => {
    hosts = new TwoHosts()
    const { first, second, firstAddress, secondAddress } = hosts
    const folder = join(temporaryFolder(), 'run')
    const coordinator = new Cli(
      [
        'coordinator',
        '--model',
        'vae',
        '--epochs',
        '100',
        '--seed',
        '1',
        '--min-workers',
        '2',
        '--bind',
        `tcp://${firstAddress}:7117`,
        '--http',
        '127.0.0.1:0',
        '--run-dir',
        folder,
      ],
      { within: hosts.on(first) },
    )
    await coordinator.printed(/waiting for 2 workers/)
    const near = new Cli(
      ['worker', '--coordinator', `tcp://${firstAddress}:7117`, '--bind', `tcp://${firstAddress}:0`, '--id', 'near'],
      { within: hosts.on(first) },
    )
    const far = new Cli(
      ['worker', '--coordinator', `tcp://${firstAddress}:7117`, '--bind', `tcp://${secondAddress}:0`, '--id', 'far'],
      { within: hosts.on(second) },
    )
    await coordinator.printed(/epoch 1\/100 /)
    hosts.cut()
    const { code, stdout } = await coordinator.finished
    expect(code).toBe(1)
    expect(stdout).toMatch(/worker far is lost: silent for \d/)
    expect((await near.finished).code).toBe(1)
    expect((await far.finished).code).toBe(75)
    const summary = readJson(join(folder, 'summary.json'))
    expect(summary).toMatchObject({ status: 'failed', incidents: [{ kind: 'worker-lost', workerId: 'far' }] })
    expect((summary.coverage as unknown[])[0]).toEqual(complete[0])
    const kept = readLines(join(folder, 'events.jsonl'))
      .filter(({ kind }) => kind === 'checkpoint')
      .at(-1)
    expect(kept?.step).toBe(summary.steps)
    expect(readFileSync(join(folder, 'config.json'), 'utf8')).toContain('"seed": 1')
  })
})

/** A coordinator and one worker that have begun a long run. */
async function pair(): Promise<{ coordinator: Cli; worker: Cli; folder: string }> {
  const folder = join(temporaryFolder(), 'run')
  const addresses = ['--bind', 'tcp://127.0.0.1:0', '--http', '127.0.0.1:0']
  const coordinator = new Cli(['coordinator', '--steps', '100000', ...addresses, '--run-dir', folder])
  const [, address] = await coordinator.printed(/at (tcp:\S+)/)
  const worker = new Cli(['worker', '--coordinator', String(address)])
  await coordinator.printed(/generation 1/)
  return { coordinator, worker, folder }
}
