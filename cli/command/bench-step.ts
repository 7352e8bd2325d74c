import { exitCode } from '../../shared/core/errors.ts'
import { jsonLinesFlag, type Peer, peerFlags, peerOf, tellRound, worldSizesOf } from '../bench/bench-flags.ts'
import { alternate } from '../bench/rounds.ts'
import { comparedSteps, toldSteps } from '../bench/step-comparison.ts'
import { toldFigures } from '../bench/step-figures.ts'
import { measureTrainings, type Span, type Training } from '../bench/training.ts'
import { checked, spanOf, trainingFlags } from '../bench/training-flags.ts'
import { checkedBackend } from '../device.ts'
import { chosenBackend, threadsPerWorker } from '../native-setup.ts'
import type { Command } from '../parse.ts'
import { checkedThreads } from './worker.ts'

export const benchStepCommand: Command = {
  name: 'bench step',
  summary: 'images a second of a training, and where the time of a step goes',
  example: 'ringleader bench step --model vae --workers 1,2',
  flags: {
    workers: { type: 'string', describe: 'worker processes; several numbers with commas between them', default: '2' },
    threads: {
      type: 'number',
      describe: 'threads of each worker (default: the cores, shared out; 1 with --reproducible)',
    },
    ...trainingFlags,
    ...peerFlags,
    json: jsonLinesFlag,
  },
  async run(parsed) {
    const worldSizes = worldSizesOf(parsed.workers, 1)
    const peer = peerOf(parsed, worldSizes)
    const span = spanOf(parsed)
    const backend = checkedBackend(parsed.backend)
    const trainings = worldSizes.map((workers) => {
      // Of a reproducible run the threads are part of its identity: 1, unless it is told otherwise.
      const threads = checkedThreads(parsed.threads, parsed.reproducible === true ? 1 : threadsPerWorker(workers))
      return checked({ workers, threads, backend, options: parsed })
    })
    const chosen = await chosenBackend(backend)
    for (const training of trainings) {
      const ready = { ...training, backend: chosen }
      const told = peer ? await compare(ready, span, peer) : await measure(ready, span)
      process.stdout.write(parsed.json === true ? `${JSON.stringify(told.json)}\n` : told.text)
    }
    return exitCode.ok
  },
}

interface Told {
  readonly json: object
  readonly text: string
}

async function measure(training: Training, span: Span): Promise<Told> {
  const [figures] = await measureTrainings([training], span)
  if (!figures) return { json: {}, text: '' }
  return { json: { ...figures, threads: training.threads }, text: toldFigures(figures, training.threads) }
}

async function compare(training: Training, span: Span, peer: Peer): Promise<Told> {
  const ours = async () => (await measureTrainings([training], span))[0]
  const rounds = await alternate(peer.rounds, ours, peer.run, tellRound('ours', 'peer', peer.rounds))
  const measured = rounds.flatMap(({ leftFirst, left, right }) =>
    left ? [{ leftFirst, ours: left, peer: right }] : [],
  )
  const comparison = comparedSteps(measured)
  return { json: { ...comparison, threads: training.threads }, text: toldSteps(comparison, training.threads) }
}
