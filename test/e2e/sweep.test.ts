import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Cli, readLines, ringleader, waitForStep } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

interface Told {
  best: number | null
  trials: { trial: number; status: string; value: number | null; reason: string | null; steps: number | null }[]
}
const told = (stdout: string) => JSON.parse(stdout) as Told
const byNumber = ({ trials }: Told) => [...trials].sort((a, b) => a.trial - b.trial)

describe('sweep', () => {
  it('trains every trial, makes a failing one a row, and trains none of them again', async () => {
    const base = temporaryFolder()
    const [file, out] = [join(base, 'rates.yaml'), join(base, 'out')]
    const search = 'search: {learning-rate: [1e-3, 1e-5], max-gradient-norm: [1e6, 1e-6]}\n'
    writeFileSync(file, `objective: vaeLoss\noptions: {steps: 15, batch-size: 32}\n${search}`)
    const sweep = () => ringleader('sweep', file, '--out', out, '--workers', '2', '--json')
    const first = await sweep()
    expect([first.code, first.stderr]).toEqual([0, expect.stringContaining('trial 4 of 4')])
    const rows = byNumber(told(first.stdout))
    expect(rows.map(({ status }) => status)).toEqual(['completed', 'failed', 'completed', 'failed'])
    expect(rows[1]?.reason).toMatch(/roll-backs did not help|no finite value/) // whichever is first
    expect(told(first.stdout).best).toBe(1) // 15 steps at 1e-5 learn nothing
    expect(rows[0]?.value).toBeLessThan(rows[2]?.value ?? 0)
    const losses = readLines(join(out, 'trial-001/metrics.jsonl')).map(({ vaeLoss }) => Number(vaeLoss))
    expect(losses).toHaveLength(15)
    expect(rows[0]?.value).toBeCloseTo(losses.reduce((sum, loss) => sum + loss, 0) / 15, 6)
    expect(readFileSync(join(out, 'plot.svg'), 'utf8').match(/<circle/g)).toHaveLength(4) // 2 panels, 2 values

    const ended = () => readFileSync(join(out, 'trial-001/events.jsonl'), 'utf8')
    const before = ended()
    rmSync(join(out, 'trial-002'), { recursive: true })
    const again = await sweep()
    expect(byNumber(told(again.stdout))).toMatchObject(rows.map(({ trial, status }) => ({ trial, status })))
    expect(ended()).toBe(before)
    expect(again.stderr.match(/trial \d of 4: learning-rate/g)).toEqual(['trial 2 of 4: learning-rate'])

    // Another objective reads the same runs; other options do not.
    writeFileSync(file, `objective: kl\ngoal: maximize\noptions: {steps: 15, batch-size: 16}\n${search}`)
    expect(await sweep()).toMatchObject({ code: 2, stderr: expect.stringMatching(/trial 1 in .* had other options/) })
  })

  it('ends at Ctrl-C with the step saved, and goes on with that trial and those that wait', async () => {
    const base = temporaryFolder()
    const [file, out] = [join(base, 'rates.json'), join(base, 'out')]
    const options = { steps: 400, batchSize: 32, checkpointEvery: 100 }
    writeFileSync(file, JSON.stringify({ objective: 'vaeLoss', options, search: { seed: [1, 2] } }))
    const sweep = new Cli(['sweep', file, '--out', out, '--json'])
    await waitForStep(sweep, join(out, 'trial-001'), 20)
    sweep.kill('SIGINT')
    const { code, stdout, stderr } = await sweep.finished
    expect(code).toBe(130)
    expect(stderr).toContain('the same command goes on with trial 1')
    expect(byNumber(told(stdout)).map(({ status }) => status)).toEqual(['interrupted', 'waiting'])
    expect(existsSync(join(out, 'trial-002'))).toBe(false)
    const rest = await ringleader('sweep', file, '--out', out, '--json')
    expect(rest.code).toBe(0)
    expect(rest.stderr).toContain('trial 1 of 2 goes on: seed 1')
    expect(byNumber(told(rest.stdout))).toMatchObject([{ status: 'completed' }, { status: 'completed' }])
    const steps = readLines(join(out, 'trial-001/metrics.jsonl')).map(({ step }) => step)
    expect(steps).toEqual(Array.from({ length: 400 }, (_, index) => index + 1))
  })

  it('goes on after a SIGKILL with the trial under way, from its checkpoint', async () => {
    const base = temporaryFolder()
    const [file, out] = [join(base, 'rates.json'), join(base, 'out')]
    const options = { steps: 300, batchSize: 32, checkpointEvery: 20 }
    writeFileSync(file, JSON.stringify({ objective: 'vaeLoss', options, search: { seed: [1, 2] } }))
    const sweep = new Cli(['sweep', file, '--out', out, '--json'])
    await waitForStep(sweep, join(out, 'trial-001'), 60)
    sweep.kill('SIGKILL')
    expect((await sweep.finished).signal).toBe('SIGKILL')
    const rest = await ringleader('sweep', file, '--out', out, '--json')
    expect([rest.code, rest.stderr]).toEqual([0, expect.stringContaining('trial 1 of 2 goes on: seed 1')])
    expect(byNumber(told(rest.stdout))).toMatchObject([{ status: 'completed' }, { status: 'completed' }])
    const steps = readLines(join(out, 'trial-001/metrics.jsonl')).map(({ step }) => step)
    expect(steps).toEqual(Array.from({ length: 300 }, (_, index) => index + 1))
    const generations = readLines(join(out, 'trial-001/events.jsonl')).filter(({ kind }) => kind === 'generation')
    expect(Number(generations.at(-1)?.step)).toBeGreaterThanOrEqual(20) // not from the start
  })

  it('takes its objective from an evaluation, beside a trial whose evaluation is there already', async () => {
    const base = temporaryFolder()
    const [file, out] = [join(base, 'elbo.yaml'), join(base, 'out')]
    const options = 'options: {steps: 30, evaluate-samples: 200}\n'
    writeFileSync(file, `objective: negativeElbo\n${options}search: {learning-rate: [1e-3, 1e-5]}\n`)
    const { code, stdout } = await ringleader('sweep', file, '--out', out, '--json')
    expect(code).toBe(0)
    const [good, bad] = byNumber(told(stdout))
    expect(good?.value).toBeLessThan(bad?.value ?? 0)
    expect(good?.value).toBeGreaterThan(100)
    const path = join(out, 'trial-001/checkpoints/step-00000030/evaluation.json')
    const stored = JSON.parse(readFileSync(path, 'utf8')) as { likelihood: { negativeElbo: number } }
    expect(good?.value).toBe(stored.likelihood.negativeElbo)
    writeFileSync(path, JSON.stringify({ ...stored, likelihood: { ...stored.likelihood, negativeElbo: 1 } }))
    const again = told((await ringleader('sweep', file, '--out', out, '--json')).stdout)
    expect(byNumber(again)[0]?.value).toBe(1) // it is read, not made anew
  })

  it.each([
    ['objective: fid\nsearch: {learning-rat: [1]}', /unknown option learning-rat; did you mean learning-rate\?/],
    ['objective: fid\nsearch: {batch-size: [1]}', /trial 1: --batch-size 1 is below the number of workers/],
    [
      'objective: negativeElbo\noptions: {model: gan}\nsearch: {seed: [1]}',
      /objective negativeElbo means nothing to model gan/,
    ],
    ['objective: [', /bad.yaml: /],
  ])('refuses %j with one line before anything is trained', async (text, message) => {
    const base = temporaryFolder()
    writeFileSync(join(base, 'bad.yaml'), text)
    const { code, stderr } = await ringleader('sweep', join(base, 'bad.yaml'), '--out', join(base, 'out'))
    expect(code).toBe(2)
    expect(stderr).toMatch(message)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(existsSync(join(base, 'out'))).toBe(false)
  })
})
