import { it } from 'vitest'
import { planFromSeed, type FaultKind } from '/work/main/cli/chaos/plan.ts'
import { simulate } from '/work/main/cli/simulation/simulate.ts'
it('sim', async () => {
  const from = Number(process.env.FROM ?? 1), n = Number(process.env.N ?? 1)
  const kinds = (process.env.KINDS ?? 'kill,stop,slow,partition,drop,delay,coordinator-kill,join,leave,nan').split(',') as FaultKind[]
  for (let seed = from; seed < from + n; seed++) {
    const workers = 1 + (seed % 9)
    const steps = 60
    const faults = process.env.NONE ? [] : planFromSeed(seed, { kinds, faults: Number(process.env.FAULTS ?? 5), workers, steps })
    const t = performance.now()
    const r = await simulate({ seed, workers, steps, reproducible: seed % 2 === 0, faults })
    console.log(seed, workers, r.summary?.status, 'fired', r.fired.length, '/', faults.length, 'lost', r.stepsLost, 'virtual', r.virtualMs, 'real', Math.round(performance.now() - t), r.violations.slice(0, 4))
    if (process.env.EVENTS) { console.log(JSON.stringify(faults)); for (const e of r.events) console.log(JSON.stringify(e)) }
  }
}, 600000)
