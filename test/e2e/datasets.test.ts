import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encode } from 'jpeg-js'
import { PNG } from 'pngjs'
import { expect, it } from 'vitest'
import { decodeWav } from '../../shared/sound/wav.ts'
import { mnist, readJson, readLines, ringleader } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'
import { smoothGan } from '../support/models.ts'
import { chirp, wav } from '../support/sounds.ts'

const model = join(temporaryFolder(), 'small.json')
writeFileSync(model, JSON.stringify(smoothGan))

/** Twenty steps on a data set; the checkpoint's folder. */
async function trained(...flags: string[]): Promise<string> {
  const run = join(temporaryFolder(), 'run')
  const { code, stderr } = await ringleader(
    ...['train', '--steps', '20', '--batch-size', '16', '--run-dir', run, '--model', model],
    ...(flags.includes('--workers') ? [] : ['--workers', '2']),
    ...flags,
  )
  expect(code, stderr).toBe(0)
  const { steps, finalLosses } = readJson(join(run, 'summary.json'))
  expect(steps).toBe(20)
  const losses = Object.values(finalLosses as Record<string, unknown>)
  expect(losses.length).toBeGreaterThan(0)
  for (const loss of losses) expect(loss).toEqual(expect.any(Number))
  return join(run, 'checkpoints/step-00000020')
}

async function generated(checkpoint: string, name: string, ...flags: string[]): Promise<Buffer> {
  const out = join(temporaryFolder(), name)
  const { code, stderr } = await ringleader('generate', '--checkpoint', checkpoint, '--out', out, ...flags)
  expect(code, stderr).toBe(0)
  return readFileSync(out)
}

it('a GAN trains on stacked digits, and its pictures are coloured', async () => {
  const checkpoint = await trained('--dataset', 'stacked-mnist', '--packing', '2')
  expect(readJson(join(checkpoint, 'manifest.json'))).toMatchObject({ image: { height: 28, width: 28, channels: 3 } })
  const { width, height, data } = PNG.sync.read(await generated(checkpoint, 'digits.png', '--count', '20'))
  expect([width, height]).toEqual([10 * 29 + 1, 2 * 29 + 1])
  expect(data.some((value, at) => at % 4 === 1 && value !== data[at - 1])).toBe(true) // green is not red
  const array = await generated(checkpoint, 'digits.npy', '--count', '3')
  expect(array.subarray(0, 128).toString('latin1')).toContain("'shape': (3, 28, 28, 3)")
})

it('a GAN trains on clothes from a folder of IDX files', async () => {
  await trained('--dataset', 'fashion-mnist', '--data-dir', mnist)
})

it('a GAN trains on a folder of photographs, mirrored alike for any number of workers', async () => {
  const folder = temporaryFolder()
  for (let index = 0; index < 40; index++) {
    const png = new PNG({ width: 20, height: 16 + (index % 3) })
    for (const at of png.data.keys()) png.data[at] = at % 4 === 3 ? 255 : ((at % 80) * 3 + index) % 256
    writeFileSync(join(folder, `${index}.png`), PNG.sync.write(png))
    writeFileSync(
      join(folder, `${index}.jpg`),
      encode({ width: png.width, height: png.height, data: png.data }, 90).data,
    )
  }
  const images = ['--dataset', 'images', '--data-dir', folder, '--image-size', '16', '--reproducible']
  const digest = (checkpoint: string) => readJson(join(checkpoint, '../../summary.json')).weightsSha256
  const plain = await trained(...images)
  const flipped = await trained(...images, '--flip')
  expect(digest(flipped)).not.toBe(digest(plain))
  expect(digest(await trained(...images, '--flip', '--workers', '1'))).toBe(digest(flipped))
  expect(readJson(join(flipped, 'manifest.json'))).toMatchObject({ image: { height: 16, width: 16, channels: 3 } })
  const { width } = PNG.sync.read(await generated(flipped, 'images.png', '--count', '10'))
  expect(width).toBe(10 * 17 + 1)
}, 100_000)

it('a GAN trains on films, and its pictures have a film in each row', async () => {
  const checkpoint = await trained('--dataset', 'moving-mnist')
  const { width, height } = PNG.sync.read(await generated(checkpoint, 'films.png', '--count', '5'))
  expect([width, height]).toEqual([8 * 29 + 1, 5 * 29 + 1])
}, 60_000)

it('a VAE learns sounds from a folder, and what it makes can be heard', async () => {
  const folder = temporaryFolder()
  for (let index = 0; index < 40; index++)
    writeFileSync(join(folder, `${index}.wav`), wav([chirp(4000, 300 + 20 * index, 2000, 16_000)], 16_000, {}))
  const run = join(temporaryFolder(), 'run')
  const { code, stderr } = await ringleader(
    ...['train', '--dataset', 'audio', '--data-dir', folder, '--image-size', '32', '--model', 'spectrogram-vae'],
    ...['--steps', '60', '--batch-size', '16', '--workers', '2', '--run-dir', run],
  )
  expect(code, stderr).toBe(0)
  const losses = readLines(join(run, 'metrics.jsonl')).map((line) => Number(line.vaeLoss))
  expect(losses.at(-1)).toBeLessThan(0.8 * (losses[0] ?? 0))
  const picture = join(temporaryFolder(), 'sounds.png')
  const flags = ['--checkpoint', join(run, 'checkpoints/step-00000060'), '--count', '3', '--out', picture]
  const generate = await ringleader('generate', ...flags)
  expect(generate.code, generate.stderr).toBe(0)
  expect(generate.stderr).toContain('sounds in ')
  expect(PNG.sync.read(readFileSync(picture)).height).toBe(33 + 1)
  for (const index of [0, 1, 2]) {
    const file = picture.replace('.png', `-00${index}.wav`)
    const { rate, samples } = decodeWav(readFileSync(file), file)
    expect([rate, samples.length]).toEqual([8000, 512])
    expect(samples.some((value) => Math.abs(value) > 0.01)).toBe(true)
  }
  expect(existsSync(picture.replace('.png', '-003.wav'))).toBe(false)
}, 100_000)

it('a folder without images is refused', async () => {
  const flags = ['--dataset', 'images', '--data-dir', temporaryFolder()]
  const { code, stderr } = await ringleader('train', ...flags, '--run-dir', join(temporaryFolder(), 'run'))
  expect(stderr).toMatch(/no .png, .jpg, .jpeg files in it/)
  expect(stderr.trim().split('\n')).toHaveLength(1)
  expect(code).toBe(2)
})

it('a model that reads labels is refused where there are none', async () => {
  const run = join(temporaryFolder(), 'run')
  const { code, stderr } = await ringleader(
    ...['train', '--model', 'classifier', '--dataset', 'stacked-mnist', '--run-dir', run],
  )
  expect(stderr).toMatch(/--dataset stacked-mnist has no labels, which model classifier reads; write a --model/)
  expect(code).toBe(2)
})
