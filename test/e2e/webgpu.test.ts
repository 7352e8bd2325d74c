import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findNative } from '../../worker/backend/native/native-cache.ts'
import { deviceNames, loadDawn } from '../../worker/backend/webgpu/webgpu-library.ts'
import { available, Cli, readJson, readLines, ringleader } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'
import { hasGpu } from '../support/gpu.ts'
import { denseGan, imageVae, smoothGan } from '../support/models.ts'

const native = available(findNative() !== null, 'native TensorFlow')
const gpu = await hasGpu()
/** Mesa's binds 128 MiB at most; a card takes more. */
const software = gpu && (await deviceNames(await loadDawn())).every((name) => name.includes('llvmpipe'))

function file(name: string, description: object): string {
  const path = join(temporaryFolder(), `${name}.json`)
  writeFileSync(path, JSON.stringify(description))
  return path
}

const dense = ['--model', file('dense', denseGan), '--batch-size', '16']
const models: Record<string, readonly string[]> = {
  vae: ['--model', 'vae', '--batch-size', '16'],
  'dense gan': dense,
  'WGAN-GP': [...dense, '--loss', 'wgan-gp'],
  'gan with convolutions': [
    ...['--model', file('small', smoothGan), '--batch-size', '16'],
    ...['--loss', 'hinge', '--spectral-norm'],
  ],
  // At its recipe's own rate, fifty times this one, roundings grow to 1e-1 in twenty steps (docs/gpu.md).
  dcgan: ['--model', 'dcgan', '--batch-size', '8', '--recipe', 'hinge', '--learning-rate', '1e-5'],
}

describe.skipIf(!gpu || !native)('on a GPU', () => {
  it.each(Object.entries(models))(
    'two workers train a %s as two on the CPU do',
    { timeout: 400_000 },
    async (_, flags) => {
      const train = async (backend: string) => {
        const folder = join(temporaryFolder(), 'run')
        const args = ['--workers', '2', '--threads', '1', '--steps', '20', '--seed', '5', ...flags]
        const { code, stderr } = await ringleader('train', ...args, '--backend', backend, '--run-dir', folder)
        expect(code, stderr).toBe(0)
        expect(readJson(join(folder, 'summary.json'))).toMatchObject({
          ...{ status: 'completed', incidents: [], backend: expect.stringMatching(`^${backend} `) },
        })
        return readLines(join(folder, 'metrics.jsonl'))
      }
      const [found, expected] = [await train('webgpu'), await train('tensorflow')]
      expect(expected).toHaveLength(20)
      for (const [index, step] of expected.entries()) {
        for (const [name, value] of Object.entries(step).filter(([name]) => name.endsWith('Loss'))) {
          const difference = Math.abs(Number(found[index]?.[name]) - Number(value))
          expect(difference, `${name} of step ${index + 1}`).toBeLessThan(1e-4 * Math.max(1, Math.abs(Number(value))))
        }
      }
    },
  )

  it('a worker with one and a worker without train an epoch; their replicas are the same bits', async () => {
    const { coordinator, workers, folder } = await mixed('--epochs', '1', '--batch-size', '4000')
    expect((await coordinator.finished).code).toBe(0)
    for (const worker of workers) expect((await worker.finished).code).toBe(0)
    const summary = readJson(join(folder, 'summary.json'))
    expect(summary).toMatchObject({
      ...{ status: 'completed', incidents: [], worldSizes: [{ worldSize: 2 }] },
      coverage: [{ epoch: 0, distinct: 60_000, duplicates: 0, missing: 0 }],
    })
    expect((summary.backends as string[]).map((name) => name.split(' ')[0]).sort()).toEqual(['tensorflow', 'webgpu'])
    const events = readLines(join(folder, 'events.jsonl'))
    expect(events.filter(({ kind }) => kind === 'backends')).toHaveLength(1)
    expect(events.some(({ kind }) => kind === 'diverged')).toBe(false)
  })

  it('the images of a checkpoint are those that the CPU makes', async () => {
    const folder = join(temporaryFolder(), 'run')
    const train = ['--model', 'vae', '--workers', '1', '--steps', '2', '--backend', 'tensorflow', '--run-dir', folder]
    expect((await ringleader('train', ...train)).code).toBe(0)
    const images = async (...where: string[]) => {
      const out = join(folder, 'images.npy')
      const checkpoint = join(folder, 'checkpoints/step-00000002')
      const { code, stderr } = await ringleader(
        ...['generate', '--checkpoint', checkpoint, '--count', '12', '--out', out],
        ...where,
      )
      expect(code, stderr).toBe(0)
      return new Float32Array(Uint8Array.from(readFileSync(out).subarray(-12 * 784 * 4)).buffer)
    }
    const [made, expected] = [await images('--device', 'webgpu'), await images('--device', 'cpu')]
    expect(expected.some((value) => value > 0.1)).toBe(true)
    for (const [index, value] of expected.entries()) expect(Math.abs(value - (made[index] ?? 9))).toBeLessThan(1e-4)
  })

  it('devices are listed, and dealt to the workers of train in turns', async () => {
    const listed = await ringleader('devices', '--json')
    const { devices } = JSON.parse(listed.stdout) as { devices: { device: string }[] }
    expect(devices[0]).toMatchObject({ device: 'cpu', backend: 'tensorflow' })
    const onGpu = devices.find(({ device }) => device.startsWith('webgpu:'))?.device
    const folder = join(temporaryFolder(), 'run')
    const args = ['--device', `cpu,${onGpu}`, '--workers', '2', '--steps', '4', '--batch-size', '64']
    const { code, stderr } = await ringleader('train', ...args, '--run-dir', folder)
    expect(code, stderr).toBe(0)
    const joins = readLines(join(folder, 'events.jsonl')).filter(({ kind }) => kind === 'join')
    expect(joins.map(({ workerId, backend }) => [workerId, String(backend).split(' ')[0]]).sort()).toEqual([
      ['worker-0', 'tensorflow'],
      ['worker-1', 'webgpu'],
    ])
  })

  it.runIf(software)('a worker whose GPU refuses goes with the cause; the other goes on', async () => {
    const wide = { ...imageVae.networks[0]?.layers[0], filters: 22, strides: 1 } // an image more than 128 MiB for half the batch
    const [encoder, decoder] = imageVae.networks
    const networks = [{ ...encoder, layers: [wide, ...(encoder?.layers.slice(1) ?? [])] }, decoder]
    const { coordinator, workers, folder, come } = await mixed(
      ...['--model', file('wide', { ...imageVae, networks }), '--steps', '2', '--batch-size', '4096'],
    )
    const [cpu, onGpu] = workers
    const { code, stderr } = await (onGpu as Cli).finished
    expect(code, stderr).toBe(75)
    expect(stderr).toMatch(/(refused a command|is out of memory): /)
    const relief = come('relief', 'tensorflow')
    expect((await coordinator.finished).code).toBe(0)
    for (const worker of [cpu, relief]) expect((await (worker as Cli).finished).code).toBe(0)
    const lost = readLines(join(folder, 'events.jsonl')).find(({ kind }) => kind === 'lost')
    expect(lost).toMatchObject({ workerId: 'webgpu', reason: expect.stringMatching(/refused a command|out of memory/) })
    expect(readJson(join(folder, 'summary.json'))).toMatchObject({ status: 'completed', steps: 2 })
  })

  it('is no place for --reproducible where the others have another backend', async () => {
    const { coordinator, workers } = await mixed('--steps', '3', '--reproducible')
    const ended = await Promise.race(workers.map((worker) => worker.finished))
    expect(ended).toMatchObject({
      code: 78,
      stderr: expect.stringMatching(/this run is reproducible with \w+ .*; this worker has /),
    })
    coordinator.kill('SIGTERM')
    await coordinator.finished
  })
})

/** A coordinator, a worker on the CPU and one on a GPU. */
async function mixed(...options: string[]) {
  const folder = join(temporaryFolder(), 'run')
  const addresses = ['--bind', 'tcp://127.0.0.1:0', '--http', '127.0.0.1:0']
  const args = [
    '--seed',
    '1',
    '--min-workers',
    '2',
    ...(options.includes('--model') ? [] : ['--model', 'vae']),
    ...options,
  ]
  const coordinator = new Cli(['coordinator', ...args, ...addresses, '--run-dir', folder])
  const [, address] = await coordinator.printed(/waiting for 2 workers at (tcp:\S+)/)
  const come = (id: string, backend: string) =>
    new Cli(['worker', '--coordinator', String(address), '--id', id, '--backend', backend])
  const workers = ['tensorflow', 'webgpu'].map((backend) => come(backend, backend))
  return { coordinator, workers, folder, come }
}
