import type { Schedule } from '../../shared/core/schedule.ts'
import type { ToCoordinator } from '../../shared/protocol/control.ts'
import type { PreparedRun } from '../prepare-run.ts'
import { CheckpointWriter, type Manifest } from './checkpoint-store.ts'

export type CheckpointMessage = Extract<
  ToCoordinator,
  { kind: 'checkpointBegin' | 'checkpointPiece' | 'checkpointEnd' }
>

/** Takes in one checkpoint at a time, piece by piece, and stores it when it is whole. Errors are those of the disk. */
export class CheckpointIntake {
  readonly #run: PreparedRun
  readonly #schedule: Schedule
  #open: {
    writer: CheckpointWriter
    about: Pick<Manifest, 'model' | 'weightsSha256' | 'optimizerSteps' | 'elapsed' | 'score'>
  } | null = null

  constructor(run: PreparedRun, schedule: Schedule) {
    this.#run = run
    this.#schedule = schedule
  }

  /** The manifest, once the last message of a checkpoint has come. */
  take(
    message: CheckpointMessage,
    bytes: Uint8Array | null,
    { elapsed, score }: Pick<Manifest, 'elapsed' | 'score'>,
    finishedEpochs: (step: number) => Manifest['ledger']['finishedEpochs'],
  ): Manifest | null {
    switch (message.kind) {
      case 'checkpointBegin': {
        this.abandon()
        const { step, files, model, weightsSha256, optimizerSteps } = message
        this.#open = {
          writer: new CheckpointWriter(this.#run.folder.checkpoints, step, files),
          about: { model, weightsSha256, optimizerSteps, elapsed, score },
        }
        return null
      }
      case 'checkpointPiece':
        if (bytes && this.#open?.writer.step === message.step)
          this.#open.writer.write(message.file, message.offset, bytes)
        return null
      case 'checkpointEnd':
        return this.#open?.writer.step === message.step ? this.#finish(finishedEpochs(message.step)) : null
      default:
        return message satisfies never
    }
  }

  abandon(): void {
    this.#open?.writer.abandon()
    this.#open = null
  }

  #finish(finishedEpochs: Manifest['ledger']['finishedEpochs']): Manifest | null {
    if (!this.#open) return null
    const { writer, about } = this.#open
    const { step } = writer
    const { runId, config, dataset } = this.#run
    const manifest = writer.finish({
      formatVersion: 1,
      runId,
      image: { height: dataset.height, width: dataset.width, channels: dataset.channels },
      config,
      step,
      epoch: Math.floor(step / this.#schedule.stepsPerEpoch),
      seed: config.seed,
      ledger: { finishedEpochs },
      ...about,
    })
    this.#open = null
    return manifest
  }
}
