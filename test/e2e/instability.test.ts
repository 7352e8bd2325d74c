import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Cli, readJson, readLines } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

/** A VAE whose KL weighs so much that no latent dimension is used, with two workers and a look at it every sixty steps of 469. */
async function collapse(...options: string[]) {
  const path = join(temporaryFolder(), 'run')
  const ill = ['--model', 'vae', '--beta', '300', '--inspect-every', '60', '--checkpoint-every', '50']
  const train = new Cli(['train', ...ill, '--workers', '2', '--run-dir', path, ...options])
  const { code, stdout, stderr } = await train.finished
  const events = readLines(join(path, 'events.jsonl'))
  const of = (kind: string) => events.filter((event) => event.kind === kind)
  return { code, output: stdout + stderr, of, summary: readJson(join(path, 'summary.json')), path }
}

describe('a training that goes wrong', () => {
  it('is told of, and goes on, by default', async () => {
    const { code, output, of, summary } = await collapse('--steps', '130')
    expect(code, output).toBe(0)
    expect(summary).toMatchObject({ status: 'completed', steps: 130 })
    expect(of('stability').map(({ step }) => step)).toEqual([60, 120])
    expect(of('alarm')).toMatchObject([{ alarm: 'posterior-collapse', since: 60, step: 120 }])
    expect(of('intervention')).toEqual([])
    expect(output).toMatch(/alarm: the encoder uses 0.0 % of the latent dimensions/)
  })

  it('ends with --on-instability stop, and leaves its last checkpoint', async () => {
    const { code, output, of, summary } = await collapse('--steps', '4000', '--on-instability', 'stop')
    expect(code, output).toBe(1)
    expect(summary.status).toBe('failed')
    expect(summary.reason).toMatch(/posterior-collapse since step 60: the run is stopped/)
    expect(of('intervention')).toMatchObject([{ action: 'stop', alarm: 'posterior-collapse' }])
    expect(of('checkpoint').length).toBeGreaterThan(0)
  })

  it('goes on at lower rates with --on-instability lower-lr: nothing is computed again', async () => {
    const { code, output, of, summary, path } = await collapse('--steps', '460', '--on-instability', 'lower-lr')
    expect(code, output).toBe(0)
    const interventions = of('intervention')
    expect(interventions.length).toBeGreaterThanOrEqual(2)
    expect(interventions[0]).toMatchObject({ action: 'lower-lr', alarm: 'posterior-collapse' })
    expect(readJson(join(path, 'config.json'))).toMatchObject({ rollbacks: interventions.length })
    const generations = of('generation').map(({ reason }) => String(reason))
    expect(generations.filter((reason) => reason.includes('of the learning rates'))).toHaveLength(interventions.length)
    expect(of('rewound')).toEqual([])
    expect(summary).toMatchObject({ status: 'completed', steps: 460, incidents: [] })
    const steps = readLines(join(path, 'metrics.jsonl')).map(({ step }) => step)
    expect(steps).toEqual(Array.from({ length: 460 }, (_, index) => index + 1))
  })

  it('goes back to before it with --on-instability rollback, further where it comes back, and gives up after five', async () => {
    const { code, output, of, summary } = await collapse('--steps', '4000', '--on-instability', 'rollback')
    expect(code, output).toBe(1)
    const interventions = of('intervention')
    expect(interventions.map(({ action }) => action)).toEqual(Array(5).fill('rollback'))
    expect(interventions.map(({ back }) => back)).toEqual([50, 0, 50, 0, 50])
    const kinds = ['generation', 'lost', 'diverged', 'rollback', 'intervention', 'rewound', 'paused', 'alarm']
    const story = kinds.flatMap(of).sort((a, b) => String(a.time).localeCompare(String(b.time)))
    const told = story.map((event) => JSON.stringify(event)).join('\n')
    expect(
      of('rewound').map(({ step }) => step),
      told,
    ).toEqual([50, 0, 50, 0, 50])
    expect(interventions[1]?.reason).toContain('at 0.25 of the learning rates')
    expect(summary.status).toBe('failed')
    expect(summary.reason).toMatch(/5 roll-backs did not help against posterior-collapse/)
  })
})
