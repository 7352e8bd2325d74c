import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { Cli, hasTool, mnist, readJson, readLines, ringleader, root } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const hasNumpy = hasTool('python3', '-c', 'import numpy')

async function trained(model: string, steps: number): Promise<string> {
  const run = join(temporaryFolder(), model)
  const { code, stderr } = await ringleader(
    ...['train', '--model', model, '--steps', String(steps), '--workers', '2', '--run-dir', run],
  )
  expect(code, stderr).toBe(0)
  return join(run, 'checkpoints', `step-${String(steps).padStart(8, '0')}`)
}

async function evaluated(checkpoint: string, ...flags: string[]): Promise<Record<string, never>> {
  const { code, stdout, stderr } = await ringleader('evaluate', '--checkpoint', checkpoint, '--json', ...flags)
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout)
}

describe('evaluate', () => {
  let vae: string
  beforeAll(async () => {
    vae = await trained('vae', 60)
  }, 120_000)

  it('tells every figure of a VAE, the same for the same seed; the ELBO is that of a program of its own', async () => {
    const { seconds: _, ...found } = await evaluated(vae, '--samples', '300', '--importance-samples', '3')
    expect(found).toMatchObject({ model: 'vae', step: 60, dataset: 'mnist', seed: 1 })
    expect(found.classifier).toMatchObject({ sha256: expect.stringMatching(/^[0-9a-f]{64}$/) })
    expect(found.samples).toMatchObject({ samples: 300, realSamples: 300 })
    for (const name of [
      ...['fid', 'fidRelative', 'kid', 'kidDeviation', 'inceptionScore', 'realInceptionScore'],
      ...['precision', 'recall', 'density', 'coverage', 'modes', 'classKl'],
    ])
      expect(found.samples?.[name], name).toEqual(expect.any(Number))
    const { seconds: __, ...again } = await evaluated(vae, '--samples', '300', '--importance-samples', '3')
    expect(again).toEqual(found)
    const { negativeElbo, negativeIwae, reconstruction, kl, images } = found.likelihood as unknown as Record<
      string,
      number
    >
    expect(images).toBe(10_000)
    expect(negativeElbo).toBeCloseTo((reconstruction ?? 0) + (kl ?? 0), 6)
    expect(negativeIwae).toBeLessThan(negativeElbo ?? 0)
    if (!hasNumpy) return
    const oracle = spawnSync('python3', [join(root, 'test/e2e/elbo.py'), vae, join(mnist, 't10k-images-idx3-ubyte')], {
      encoding: 'utf8',
    })
    const expected = JSON.parse(oracle.stdout) as { elbo: number; kl: number }
    expect(Math.abs((negativeElbo ?? 0) - expected.elbo)).toBeLessThan(0.5) // another draw of z for each image
    expect(kl).toBeCloseTo(expected.kl, 3)
  }, 240_000)

  it('measures a classifier itself, and by another one where told so', async () => {
    const checkpoint = await trained('classifier', 40)
    const found = await evaluated(checkpoint)
    expect(found).toMatchObject({ model: 'classifier', samples: null, likelihood: null })
    const { testAccuracy, sha256 } = found.classifier as unknown as { testAccuracy: number; sha256: string }
    expect(testAccuracy).toBeGreaterThan(0.7)
    const own = ['--samples', '100', '--importance-samples', '1']
    const by = await evaluated(vae, ...own, '--classifier', join(checkpoint, 'weights.safetensors'))
    expect(by.classifier).toEqual({ sha256, testAccuracy })
    const { code, stderr } = await ringleader(
      'generate',
      '--checkpoint',
      checkpoint,
      '--out',
      join(temporaryFolder(), 'x.png'),
    )
    expect(stderr).toMatch(/a classifier makes no images/)
    expect(code).toBe(1)
  }, 240_000)

  it.each([
    [['--samples', '10'], /--samples 10: write a whole number from 100 to 60000/],
    [['--importance-samples', '0'], /--importance-samples 0: write a whole number from 1 to 5000/],
    [['--classifier', 'none.safetensors'], /--classifier none.safetensors: .*no such file/],
    [['--dataset', 'nist'], /--dataset nist is unknown/],
  ])('refuses %s in one line', async (flags, message) => {
    const { code, stderr } = await ringleader('evaluate', '--checkpoint', vae, ...flags)
    expect(stderr).toMatch(message)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(code).toBe(2)
  })

  it('tells the same of images in a file as of the checkpoint that made them', async () => {
    const file = join(temporaryFolder(), 'made.npy')
    const generated = await ringleader('generate', '--checkpoint', vae, '--count', '300', '--out', file)
    expect(generated.code, generated.stderr).toBe(0)
    const by = ['--samples', '300', '--importance-samples', '1']
    const { samples, classifier } = await evaluated(vae, ...by)
    const { code, stdout, stderr } = await ringleader('evaluate', '--images', file, '--json')
    expect(code, stderr).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ images: file, dataset: 'mnist', samples, classifier, likelihood: null })
    const refused = async (...flags: string[]) => (await ringleader('evaluate', ...flags)).stderr
    expect(await refused('--images', file, '--samples', '301')).toMatch(/--samples 301: .* has 300 images; write that/)
    expect(await refused('--images', file, '--checkpoint', vae)).toMatch(/write --checkpoint DIR, or --images FILE.npy/)
    expect(await refused()).toMatch(/write --checkpoint DIR, or --images FILE.npy; one of the two/)
    expect(await refused('--images', file, '--dataset', 'stacked-mnist')).toMatch(
      /those of stacked-mnist are 28 × 28 × 3/,
    )
  }, 240_000)

  it('refuses weights that are no classifier', async () => {
    const flags = ['--classifier', join(vae, 'weights.safetensors')]
    const { code, stderr } = await ringleader('evaluate', '--checkpoint', vae, ...flags)
    expect(stderr).toMatch(/the classifier has no tensor classifier\/conv0\/kernel/)
    expect(code).toBe(2)
  })

  it('goes on beside a run, one at a time, and tells its figures in the files of the run', async () => {
    const run = join(temporaryFolder(), 'beside')
    const train = new Cli([
      ...['train', '--model', 'gan', '--steps', '25', '--workers', '2', '--run-dir', run, '--json'],
      ...['--evaluate-every', '15', '--evaluate-samples', '100', '--keep-checkpoints', '1', '--http', '127.0.0.1:0'],
    ])
    const { code, stdout, stderr } = await train.finished
    expect(code, stderr).toBe(0)
    const summary = readJson(join(run, 'summary.json'))
    const evaluations = summary.evaluations as { step: number; classifier: string; figures: Record<string, number> }[]
    expect(JSON.parse(stdout).evaluations).toEqual(evaluations)
    expect(evaluations.at(-1)?.step).toBe(25)
    const told = readLines(join(run, 'events.jsonl')).filter(({ kind }) => kind === 'evaluation')
    expect(told.map(({ step, classifier, figures }) => ({ step, classifier, figures }))).toEqual(evaluations)
    const last = join(run, 'checkpoints/step-00000025')
    expect(readJson(join(last, 'evaluation.json'))).toMatchObject({ step: 25, samples: { samples: 100 } })
    const { samples, classifier } = (await evaluated(last, '--samples', '100')) as Record<string, unknown>
    expect(evaluations.at(-1)?.figures.fid).toBeCloseTo((samples as { fid: number }).fid, 3)
    expect(evaluations.at(-1)?.classifier).toBe((classifier as { sha256: string }).sha256)
  }, 240_000)
})
