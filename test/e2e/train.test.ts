import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { PNG } from 'pngjs'
import { describe, expect, it, vi } from 'vitest'
import { Cli, childrenOf, patience, readJson, readLines, ringleader, waitForStep } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const complete = [{ epoch: 0, distinct: 60_000, duplicates: 0, missing: 0 }]

describe('train', () => {
  it('uses every MNIST image exactly once in an epoch, and leaves all files of a run', async () => {
    const folder = join(temporaryFolder(), 'run')
    const { code, stdout } = await ringleader(
      'train',
      '--model',
      'vae',
      '--epochs',
      '1',
      '--workers',
      '2',
      '--seed',
      '1',
      '--json',
      '--deal', // a busy host makes workers unequal
      'even',
      '--run-dir',
      folder,
    )
    expect(code).toBe(0)
    const summary = JSON.parse(stdout)
    expect(readJson(join(folder, 'summary.json'))).toEqual(summary)
    expect(summary).toMatchObject({
      status: 'completed',
      model: 'vae',
      dataset: 'mnist',
      steps: 469,
      epochs: 1,
      seed: 1,
      coverage: complete,
      incidents: [],
    })
    expect(summary.worldSizes).toMatchObject([{ generation: 1, step: 0, worldSize: 2 }])
    expect(summary.imagesPerSecond).toBeGreaterThan(0)
    expect(summary.advice).toMatchObject({
      seen: [{ workers: 2 }],
      basis: expect.stringMatching(/^only 2 workers seen/),
    })
    expect(summary.advice.forecasts.length).toBeGreaterThan(4)
    const lines = readLines(join(folder, 'metrics.jsonl'))
    expect(lines.map(({ step }) => step)).toEqual(Array.from({ length: 469 }, (_, index) => index + 1))
    expect(lines.reduce((sum, { images }) => sum + Number(images), 0)).toBe(60_000)
    expect(lines.at(-1)).toMatchObject({ images: 96, ...summary.finalLosses }) // the last, smaller batch
    expect(summary.finalLosses.vaeLoss).toBeLessThan(170) // nats an image after one epoch
    const png = PNG.sync.read(readFileSync(join(folder, 'samples/step-00000469.png')))
    expect([png.width, png.height]).toEqual([291, 291]) // 10 × 10 images of 28 pixels, a line between them
    const manifest = readJson(join(folder, 'checkpoints/step-00000469/manifest.json'))
    expect(manifest).toMatchObject({ step: 469, epoch: 1, seed: 1, weightsSha256: summary.weightsSha256 })
    expect(readJson(join(folder, 'config.json'))).toMatchObject({ model: 'vae', seed: 1, batchSize: 128, epochs: 1 })
    // Without those of slow workers, which a busy host makes.
    const kinds = readLines(join(folder, 'events.jsonl')).map(({ kind }) => String(kind))
    expect(kinds.filter((kind) => !kind.startsWith('slow'))).toEqual([
      'start',
      'join',
      'join',
      'generation',
      'algorithm',
      'stability', // a look at half of the epoch
      'checkpoint',
      'end',
    ])
  })

  it('in micro-batches has the losses of the plain run', async () => {
    const losses = []
    for (const accumulate of ['1', '4']) {
      const folder = join(temporaryFolder(), 'run')
      const flags = ['--steps', '20', '--workers', '2', '--lanes', '8', '--accumulate', accumulate, '--run-dir', folder]
      expect(await ringleader('train', ...flags)).toMatchObject({ code: 0, stderr: '' })
      losses.push(readLines(join(folder, 'metrics.jsonl')).map(({ vaeLoss }) => Number(vaeLoss)))
    }
    const [plain = [], found = []] = losses
    expect(found).toHaveLength(20)
    for (const [step, loss] of plain.entries()) expect(Math.abs((found[step] ?? 0) / loss - 1)).toBeLessThan(1e-3)
  })

  it('trains a GAN: all discriminator updates and the generator update are one step', async () => {
    const folder = join(temporaryFolder(), 'run')
    const { code, stderr } = await ringleader(
      'train',
      '--model',
      'gan',
      '--steps',
      '3',
      '--workers',
      '2',
      '--run-dir',
      folder,
    )
    expect(stderr).toBe('')
    expect(code).toBe(0)
    for (const line of readLines(join(folder, 'metrics.jsonl'))) {
      expect(line.images).toBe(640) // five batches of 128
      expect(Object.keys(line)).toEqual(
        expect.arrayContaining(['discriminatorLoss', 'generatorLoss', 'generatorGradientNorm']),
      )
    }
    expect(readJson(join(folder, 'summary.json'))).toMatchObject({
      status: 'completed',
      coverage: [{ epoch: 0, distinct: 1920, duplicates: 0, missing: 58_080 }],
    })
  })

  it('gives the same bits when it is stopped and resumed, and removes what is computed again', async () => {
    const base = temporaryFolder()
    const common = ['--seed', '5', '--workers', '2', '--batch-size', '64']
    const whole = await ringleader('train', ...common, '--steps', '40', '--json', '--run-dir', join(base, 'whole'))
    await ringleader('train', ...common, '--steps', '25', '--checkpoint-every', '20', '--run-dir', join(base, 'parts'))
    rmSync(join(base, 'parts/checkpoints/step-00000025'), { recursive: true }) // steps 21 … 25 are lost
    const resumed = await ringleader('train', '--resume', join(base, 'parts'), '--steps', '40', '--json')
    expect(resumed.stderr).toContain('from the checkpoint of step 20')
    const [first, second] = [JSON.parse(whole.stdout), JSON.parse(resumed.stdout)]
    expect(second.weightsSha256).toBe(first.weightsSha256)
    expect(second.coverage).toEqual(first.coverage)
    expect(second.worldSizes).toMatchObject([
      { generation: 1, step: 0 },
      { generation: 2, step: 20 },
    ])
    expect(readLines(join(base, 'parts/metrics.jsonl')).map(({ step }) => step)).toEqual(
      Array.from({ length: 40 }, (_, index) => index + 1),
    )
  })

  it('gives losses that do not depend on the number of workers, to float tolerance', async () => {
    const base = temporaryFolder()
    const losses = []
    for (const workers of ['1', '2', '3']) {
      await ringleader('train', '--steps', '20', '--workers', workers, '--run-dir', join(base, workers))
      losses.push(readLines(join(base, workers, 'metrics.jsonl')).map(({ vaeLoss }) => Number(vaeLoss)))
    }
    for (const other of losses.slice(1)) {
      for (const [step, loss] of other.entries())
        expect(Math.abs(loss - (losses[0]?.[step] ?? 0)) / loss).toBeLessThan(1e-5)
    }
  })

  it('finishes the step, saves and leaves with 130 on Ctrl-C', async () => {
    const folder = join(temporaryFolder(), 'run')
    const train = new Cli(['train', '--steps', '5000', '--run-dir', folder])
    await waitForStep(train, folder, 10)
    train.kill('SIGINT')
    const { code, stdout } = await train.finished
    expect(code).toBe(130)
    expect(stdout).toContain(`go on with: ringleader train --resume ${folder}`)
    const { status, steps } = readJson(join(folder, 'summary.json'))
    expect(status).toBe('interrupted')
    expect(readdirSync(join(folder, 'checkpoints'))).toEqual([`step-${String(steps).padStart(8, '0')}`])
  })

  it('leaves at once on a second Ctrl-C, and takes its processes along', async () => {
    const train = new Cli(['train', '--model', 'gan', '--steps', '5000', '--run-dir', join(temporaryFolder(), 'run')])
    await train.printed(/generation 1/)
    const children = childrenOf(train.child.pid, '-process')
    train.kill('SIGINT')
    await train.printed(/once more to leave at once/)
    train.kill('SIGINT')
    expect((await train.finished).code).toBe(130)
    await gone(children)
  })

  it('takes its processes along when it is killed itself', async () => {
    const train = new Cli(['train', '--steps', '5000', '--run-dir', join(temporaryFolder(), 'run')])
    await train.printed(/generation 1/)
    const children = childrenOf(train.child.pid, '-process')
    expect(children).toHaveLength(3)
    train.kill('SIGKILL')
    await train.finished
    await gone(children)
  })

  it('holds no more tensors and no more memory after 2,000 steps than after 500', async () => {
    const folder = join(temporaryFolder(), 'run')
    const train = new Cli([
      'train',
      '--steps',
      '2200',
      '--batch-size',
      '16',
      '--workers',
      '1',
      '--inspect-every', // the first look loads the classifier, which stays
      '100',
      '--run-dir',
      folder,
      '--http',
      '127.0.0.1:0',
    ])
    const [, address] = await train.printed(/metrics at (http:\S+)/)
    await waitForStep(train, folder, 500)
    const early = await scrape(String(address))
    await waitForStep(train, folder, 2000)
    const late = await scrape(String(address))
    expect(late.tensors).toBe(early.tensors)
    expect(late.bytes / early.bytes).toBeLessThan(1.1)
    expect((await train.finished).code).toBe(0)
  })
})

async function gone(processIds: readonly number[]): Promise<void> {
  await vi.waitUntil(() => !processIds.some(isAlive), patience)
}

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0)
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${processId}/status`, 'utf8'))
  } catch {
    return false
  }
}

async function scrape(address: string): Promise<{ tensors: number; bytes: number }> {
  const text = await (await fetch(address)).text()
  const value = (name: string) => Number(new RegExp(`^${name}\\{.*\\} (\\S+)$`, 'm').exec(text)?.[1])
  return { tensors: value('ringleader_worker_tensors'), bytes: value('ringleader_worker_resident_memory_bytes') }
}
