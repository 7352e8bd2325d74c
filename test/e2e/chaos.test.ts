import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readLines, ringleader } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

function planFile(...faults: readonly object[]): string {
  const path = join(temporaryFolder(), 'plan.yaml')
  writeFileSync(path, JSON.stringify({ faults }))
  return path
}

describe('chaos', () => {
  it('trains real processes under every kind of fault, to the same bits as without', async () => {
    const plan = planFile(
      { kind: 'kill', at: { step: 10 }, worker: 'worker-1' },
      { kind: 'coordinator-kill', at: { step: 40 } },
      { kind: 'drop', at: { step: 70 }, worker: 'worker-0' },
      { kind: 'delay', at: { step: 90 }, worker: 'worker-0', ms: 20, seconds: 1 },
      { kind: 'disk-full', at: { step: 110 }, seconds: 1 },
      { kind: 'slow', at: { step: 140 }, worker: 'worker-1', factor: 5, seconds: 4 },
      { kind: 'join', at: { step: 190 }, worker: 'worker-2' },
      { kind: 'stop', at: { step: 230 }, worker: 'worker-0', seconds: 3 },
      { kind: 'partition', at: { step: 290 }, worker: 'worker-1', seconds: 3 },
      { kind: 'leave', at: { step: 340 }, worker: 'worker-2' },
    )
    const folder = join(temporaryFolder(), 'chaos')
    const { code, stdout, stderr } = await ringleader(
      ...['chaos', '--plan', plan, '--workers', '2', '--batch-size', '64', '--steps', '469', '--json'],
      ...['--run-dir', folder],
    )
    expect(stderr).not.toContain('Error')
    const verdict = JSON.parse(stdout)
    expect(verdict).toMatchObject({ passed: true, violations: [], stepsLost: 0, mode: 'processes' })
    expect(code).toBe(0)
    expect(verdict.weightsSha256).toBe(verdict.referenceSha256)
    expect(verdict.fired).toHaveLength(10)
    expect(verdict.incidents).toBeGreaterThanOrEqual(3)
    expect(verdict.goodput).toBeGreaterThan(0)
    expect(verdict.phases.totalMs.max).toBeLessThan(10_000)
    const events = readLines(join(folder, 'faults/events.jsonl')).map(
      ({ kind, cause, alarm }) => cause ?? alarm ?? kind,
    )
    for (const wanted of ['dead', 'silent', 'journal', 'left']) expect(events).toContain(wanted)
  })

  it('simulates, and says how to replay what fails', async () => {
    const { code, stdout } = await ringleader('chaos', '--simulate', '--seed', '5', '--faults', '8', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ passed: true, mode: 'simulation', seed: 5, workers: 6, violations: [] })
    const plan = planFile({ kind: 'kill', at: { step: 20 }, worker: 'worker-0' })
    const traced = await ringleader('chaos', '--simulate', '--trace', '--plan', plan, '--workers', '2')
    expect(traced.stdout).toMatch(/PASSED: seed 1, 2 workers, simulation[\s\S]*weights +\w+: same as undisturbed/)
    expect(traced.stderr).toMatch(/fault: {"kind":"kill"/)
  })

  it.each([
    [[{ kind: 'explode', at: { step: 1 } }], [], /--plan .*faults\.0\.kind: write one of kill, stop/],
    [[{ kind: 'kill', at: { second: 1 } }], [], /--plan .*faults\.0\.at/],
    [[{ kind: 'nan', at: { step: 1 }, steps: 1 }], [], /there is no nan in this mode; add --simulate/],
    [
      [{ kind: 'disk-full', at: { step: 1 }, seconds: 1 }],
      ['--simulate'],
      /no disk-full in this mode; leave out --sim/,
    ],
    [[], ['--runs', '5'], /--runs goes with --simulate/],
    [[], ['--simulate', '--steps', '61'], /--steps 61: .*write whole epochs/],
  ])('refuses %j %j', async (faults, flags, message) => {
    const { code, stderr } = await ringleader('chaos', '--plan', planFile(...faults), ...flags)
    expect(stderr).toMatch(message)
    expect(code).toBe(2)
  })
})
