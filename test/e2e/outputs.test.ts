import { spawnSync } from 'node:child_process'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PNG } from 'pngjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { Cli, hasTool, mnist, ringleader, root } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const hasNumpy = hasTool('python3', '-c', 'import numpy')
const hasPromtool = hasTool('promtool', '--version')

describe('a VAE trained for ten epochs', () => {
  let checkpoint = ''
  let run = ''

  beforeAll(async () => {
    run = join(temporaryFolder(), 'run')
    const { code } = await ringleader('train', '--model', 'vae', '--epochs', '10', '--seed', '1', '--run-dir', run)
    expect(code).toBe(0)
    checkpoint = join(run, 'checkpoints/step-00004690')
  }, 900_000)

  it.skipIf(!hasNumpy)('has a test −ELBO of at most 108 nats an image, by a program of its own', () => {
    const { stdout, stderr } = spawnSync(
      'python3',
      [join(root, 'test/e2e/elbo.py'), checkpoint, join(mnist, 't10k-images-idx3-ubyte')],
      { encoding: 'utf8' },
    )
    expect(stderr).toBe('')
    const { elbo, kl } = JSON.parse(stdout) as { elbo: number; kl: number }
    expect(elbo).toBeLessThan(108)
    expect(elbo).toBeGreaterThan(103) // better would be another definition
    expect(kl).toBeGreaterThan(16)
    expect(kl).toBeLessThan(22)
  })

  it('generates a PNG grid and a NumPy array, the same for the same seed', async () => {
    const folder = temporaryFolder()
    const generate = async (seed: string, out: string) => {
      const { code, stderr } = await ringleader(
        'generate',
        '--checkpoint',
        checkpoint,
        '--count',
        '30',
        '--seed',
        seed,
        '--out',
        join(folder, out),
      )
      expect(stderr).toContain(`30 images of step 4690`)
      expect(code).toBe(0)
      return readFileSync(join(folder, out))
    }
    const [first, again, other] = [
      await generate('1', 'a.npy'),
      await generate('1', 'b.npy'),
      await generate('2', 'c.npy'),
    ]
    expect(first.equals(again)).toBe(true)
    expect(first.equals(other)).toBe(false)
    expect(first.subarray(0, 6).toString('latin1')).toBe('\x93NUMPY')
    const headerBytes = 10 + first.readUInt16LE(8)
    expect(first.subarray(10, headerBytes).toString()).toContain(
      "'descr': '<f4', 'fortran_order': False, 'shape': (30, 28, 28, 1)",
    )
    const values = new Float32Array(Uint8Array.from(first.subarray(headerBytes)).buffer)
    expect(values).toHaveLength(30 * 784)
    expect(values.every((value) => value >= 0 && value <= 1)).toBe(true)
    expect(values.reduce((sum, value) => sum + value, 0) / values.length).toBeGreaterThan(0.05) // MNIST's mean is 0.13
    expect(values.reduce((sum, value) => sum + value, 0) / values.length).toBeLessThan(0.25)
    const png = PNG.sync.read(await generate('1', 'd.png'))
    expect([png.width, png.height]).toEqual([10 * 29 + 1, 3 * 29 + 1])
  })

  it('reconstructs test images well enough to tell them apart, and goes from one latent vector to another', async () => {
    const folder = temporaryFolder()
    const generate = (out: string, ...flags: string[]) =>
      ringleader('generate', '--checkpoint', checkpoint, '--count', '20', '--out', join(folder, out), ...flags)
    expect(await generate('pairs.npy', '--reconstruct')).toMatchObject({ code: 0 })
    const bytes = readFileSync(join(folder, 'pairs.npy'))
    const headerBytes = 10 + bytes.readUInt16LE(8)
    expect(bytes.subarray(10, headerBytes).toString()).toContain("'shape': (2, 20, 28, 28, 1)")
    const values = new Float32Array(Uint8Array.from(bytes.subarray(headerBytes)).buffer)
    const image = (kind: number, index: number) =>
      values.subarray((kind * 20 + index) * 784, (kind * 20 + index + 1) * 784)
    const distance = (a: Float32Array, b: Float32Array) =>
      Math.hypot(...a.map((value, pixel) => value - (b[pixel] ?? 0)))
    const nearest = Array.from({ length: 20 }, (_, index) => {
      const all = Array.from({ length: 20 }, (_, other) => distance(image(1, index), image(0, other)))
      return all.indexOf(Math.min(...all))
    })
    expect(nearest.filter((found, index) => found === index).length).toBeGreaterThanOrEqual(17) // 19 after two epochs
    expect(await generate('way.png', '--interpolate')).toMatchObject({ code: 0 })
    expect(PNG.sync.read(readFileSync(join(folder, 'way.png'))).height).toBe(2 * 29 + 1)
    expect(await generate('pairs.png', '--reconstruct')).toMatchObject({ code: 0 })
    expect(PNG.sync.read(readFileSync(join(folder, 'pairs.png'))).height).toBe(4 * 29 + 1)
    const { code, stderr } = await ringleader(
      ...['generate', '--checkpoint', checkpoint, '--count', '16', '--out', join(folder, 'm.png'), '--latent-map'],
    )
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('train with --latent-size 2') })
  })

  it('refuses a checkpoint that is damaged or none', async () => {
    const folder = temporaryFolder()
    const copy = join(folder, 'copy')
    cpSync(checkpoint, copy, { recursive: true })
    const weights = readFileSync(join(copy, 'weights.safetensors'))
    weights[5000] = (weights[5000] ?? 0) ^ 1
    writeFileSync(join(copy, 'weights.safetensors'), weights)
    const damaged = await ringleader('generate', '--checkpoint', copy, '--out', join(folder, 'x.png'))
    expect(damaged).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/weights.safetensors: its SHA-256 is not the one in manifest.json/),
    })
    const missing = await ringleader('generate', '--checkpoint', folder, '--out', join(folder, 'x.png'))
    expect(missing).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/manifest.json cannot be read; give the folder of a checkpoint/),
    })
  })
})

describe('/metrics of a running coordinator', () => {
  it('moves with the run, names every worker, and satisfies promtool', async () => {
    const train = new Cli([
      'train',
      '--steps',
      '3000',
      '--http',
      '127.0.0.1:0',
      '--run-dir',
      join(temporaryFolder(), 'run'),
    ])
    const [, address] = await train.printed(/metrics at (http:\S+)/)
    await train.printed(/epoch 1\//)
    const text = await (await fetch(String(address))).text()
    const value = (name: string) => Number(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'm').exec(text)?.[1])
    expect(value('ringleader_images_total')).toBeGreaterThanOrEqual(60_000)
    expect(value('ringleader_world_size_workers')).toBe(2)
    expect(value('ringleader_generation')).toBe(1)
    expect(value('ringleader_step_seconds_count')).toBe(value('ringleader_steps_total'))
    expect(value('ringleader_allreduce_sent_bytes_total')).toBeGreaterThan(1e6)
    expect(value('ringleader_step_phase_seconds_count')).toBe(value('ringleader_steps_total'))
    expect(text).toMatch(/^ringleader_members\{state="running"\} 2$/m)
    expect(text).toMatch(/^ringleader_loss\{name="vaeLoss"\} [\d.]+$/m)
    expect(text).toMatch(/^ringleader_worker_step\{worker="worker-1"\} \d+$/m)
    expect(text).toMatch(/^ringleader_worker_malformed_frames\{worker="worker-0"\} 0$/m)
    if (hasPromtool)
      expect(spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })).toMatchObject({
        status: 0,
        stderr: '',
      })
    train.kill('SIGINT')
    expect((await train.finished).code).toBe(130)
  })
})
