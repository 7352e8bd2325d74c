import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { root } from '../support/cli.ts'

interface Stage {
  readonly workers: number
  readonly othersCores: number
  readonly measuredMs: number
  readonly advice: { readonly forecasts: readonly { workers: number; where: string; stepMs: number }[] } | null
}

/** ADVISOR_ROUNDS makes it shorter or longer. Of all rounds the one counts in which other programs took least of the cores. */
const rounds = Number(process.env.ADVISOR_ROUNDS ?? 5)

describe('the advisor, from one and two workers on the cores of this host', () => {
  it('foresees the step of four within 15 %', async () => {
    const measured: { off: number; others: number }[] = []
    for (let round = 0; round < rounds; round++) {
      const script = [join(root, 'test/bench/advisor.mjs'), '--json', '--', '--model', 'vae', '--batch-size', '1024']
      const { stdout } = await promisify(execFile)(process.execPath, script)
      const stages = JSON.parse(stdout) as Stage[]
      const forecast = stages[1]?.advice?.forecasts.find(({ workers, where }) => workers === 4 && where === 'here')
      const off = (forecast?.stepMs ?? Number.NaN) / (stages[3]?.measuredMs ?? Number.NaN) - 1
      measured.push({ off, others: Math.max(...stages.map(({ othersCores }) => othersCores)) })
    }
    process.stderr.write(`${JSON.stringify(measured)}\n`)
    const [quietest] = measured.sort((a, b) => a.others - b.others)
    expect(Math.abs(quietest?.off ?? Number.NaN)).toBeLessThan(0.15)
  })
})
