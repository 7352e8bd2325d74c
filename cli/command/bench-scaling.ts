import { usage } from '../../shared/core/config.ts'
import { exitCode } from '../../shared/core/errors.ts'
import { jsonLinesFlag, roundsFlag, roundsOf, tellRound } from '../bench/bench-flags.ts'
import { alternate } from '../bench/rounds.ts'
import { comparedScaling, toldScaling } from '../bench/scaling.ts'
import { measureTrainings } from '../bench/training.ts'
import { checked, spanOf, trainingFlags } from '../bench/training-flags.ts'
import { checkedBackend } from '../device.ts'
import { chosenBackend } from '../native-setup.ts'
import type { Command } from '../parse.ts'

export const benchScalingCommand: Command = {
  name: 'bench scaling',
  summary: 'two workers in one group against two trainings of one worker each, side by side',
  example: 'ringleader bench scaling --model vae',
  flags: { ...trainingFlags, rounds: roundsFlag, json: jsonLinesFlag },
  async run(parsed) {
    const rounds = roundsOf(parsed)
    const span = spanOf(parsed)
    const batchSize = Number(parsed.batchSize ?? 128)
    if (batchSize % 2 !== 0) throw usage(`--batch-size ${batchSize}: write an even number; each worker gets half of it`)
    const one = { threads: 1, backend: checkedBackend(parsed.backend) }
    const group = checked({ ...one, workers: 2, options: parsed })
    const half = checked({ ...one, workers: 1, options: { ...parsed, batchSize: batchSize / 2 } })
    const backend = await chosenBackend(one.backend)
    const results = await alternate(
      rounds,
      () => measureTrainings([{ ...group, backend }], span),
      () =>
        measureTrainings(
          [half, half].map((training) => ({ ...training, backend })),
          span,
        ),
      tellRound('together', 'apart', rounds),
    )
    const scaling = comparedScaling(results)
    process.stdout.write(parsed.json === true ? `${JSON.stringify(scaling)}\n` : toldScaling(scaling))
    return exitCode.ok
  },
}
