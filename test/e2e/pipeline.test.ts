import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Cli, childrenOf, readJson, readLines, ringleader, waitForStep } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const options = ['--reproducible', '--lanes', '8', '--seed', '7', '--checkpoint-every', '30']

const train = (folder: string, steps: number, ...more: string[]) =>
  new Cli(['train', '--steps', String(steps), '--run-dir', folder, ...options, ...more])

describe('a pipeline', () => {
  it('has the weights of one worker, also where a stage is killed: then it goes on from the checkpoint', async () => {
    const [plainFolder, folder] = [join(temporaryFolder(), 'plain'), join(temporaryFolder(), 'run')]
    const plain = await train(plainFolder, 150, '--workers', '1').finished
    expect(plain.code).toBe(0)
    const run = train(folder, 150, '--workers', '2', '--pipeline-stages', '2')
    await waitForStep(run, folder, 70)
    process.kill(childrenOf(run.child.pid, 'worker-process')[1] ?? -1, 'SIGKILL')
    expect((await run.finished).code).toBe(0)
    const [expected, summary] = [plainFolder, folder].map((each) => readJson(join(each, 'summary.json')))
    expect(summary).toMatchObject({
      ...{ status: 'completed', steps: 150, weightsSha256: expected?.weightsSha256, coverage: expected?.coverage },
      incidents: [{ kind: 'dead' }],
    })
    const events = readLines(join(folder, 'events.jsonl'))
    expect(events.filter(({ kind }) => kind === 'rewound').length).toBeLessThanOrEqual(1)
    const [first] = events.filter(({ kind }) => kind === 'generation')
    expect(first).toMatchObject({ worldSize: 2, stages: [{ stage: 0 }, { stage: 1 }] })
    const shares = readLines(join(folder, 'metrics.jsonl')).map(({ bubbleShare }) => Number(bubbleShare))
    for (const share of shares) expect(share >= 0 && share < 1, `bubble share ${share}`).toBe(true)
    const images = [
      '--checkpoint',
      join(folder, 'checkpoints/step-00000150'),
      '--count',
      '4',
      '--out',
      join(folder, 'grid.png'),
    ]
    expect((await ringleader('generate', ...images)).code).toBe(0)
  })

  it('of a GAN has the weights of one worker too, the moving average among them, with its last stage killed', async () => {
    const model = ['--model', 'gan', '--recipe', 'hinge', '--discriminator-updates', '3', '--batch-size', '32']
    const gan = (folder: string, ...more: string[]) =>
      new Cli([
        ...['train', '--steps', '16', '--run-dir', folder, '--reproducible', '--lanes', '8', '--seed', '7', ...model],
        ...['--checkpoint-every', '5', ...more],
      ])
    const [plainFolder, folder] = [join(temporaryFolder(), 'plain'), join(temporaryFolder(), 'run')]
    expect((await gan(plainFolder, '--workers', '1').finished).code).toBe(0)
    const run = gan(folder, '--workers', '2', '--pipeline-stages', '2')
    await waitForStep(run, folder, 7)
    process.kill(childrenOf(run.child.pid, 'worker-process')[1] ?? -1, 'SIGKILL')
    expect((await run.finished).code).toBe(0)
    const [expected, summary] = [plainFolder, folder].map((each) => readJson(join(each, 'summary.json')))
    expect(summary).toMatchObject({ status: 'completed', steps: 16, weightsSha256: expected?.weightsSha256 })
    for (const file of ['checkpoints/step-00000016/weights.safetensors', 'samples/step-00000016.png'])
      expect(readFileSync(join(folder, file)).equals(readFileSync(join(plainFolder, file))), file).toBe(true)
  }, 600_000)

  it('beside another one loses no step when a stage is killed: its twin has the state', async () => {
    const [plainFolder, folder] = [join(temporaryFolder(), 'plain'), join(temporaryFolder(), 'run')]
    expect((await train(plainFolder, 150, '--workers', '1').finished).code).toBe(0)
    const run = train(folder, 150, '--workers', '4', '--pipeline-stages', '2')
    await waitForStep(run, folder, 40)
    process.kill(childrenOf(run.child.pid, 'worker-process')[2] ?? -1, 'SIGKILL')
    expect((await run.finished).code).toBe(0)
    const [expected, summary] = [plainFolder, folder].map((each) => readJson(join(each, 'summary.json')))
    expect(summary).toMatchObject({ status: 'completed', steps: 150, weightsSha256: expected?.weightsSha256 })
    expect(readLines(join(folder, 'events.jsonl')).filter(({ kind }) => kind === 'rewound')).toEqual([])
    expect(summary?.worldSizes).toContainEqual(expect.objectContaining({ worldSize: 2 }))
  })

  it.each([
    [['--workers', '3', '--pipeline-stages', '2'], /3 workers make no whole number of pipelines; write 2 or 4 workers/],
    [['--workers', '7', '--pipeline-stages', '7'], /model vae can be cut into 6 stages at most; write that or less/],
    [
      ['--model', 'classifier', '--pipeline-stages', '2'],
      /splits the layers of a VAE or a GAN; model classifier is none/,
    ],
    [
      ['--model', 'gan', '--workers', '4', '--pipeline-stages', '4'],
      /model gan can be cut into 3 stages at most; write that/,
    ],
    [['--pipeline-stages', 'two'], /--pipeline-stages/],
  ])('that cannot be is refused with a line: %j', async (flags, message) => {
    const { code, stderr } = await ringleader(
      'train',
      '--steps',
      '1',
      '--run-dir',
      join(temporaryFolder(), 'run'),
      ...flags,
    )
    expect(stderr).toMatch(message)
    expect(code).toBe(2)
  })
})
