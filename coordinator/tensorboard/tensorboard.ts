import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import { decodeSafetensors } from '../../shared/core/safetensors.ts'
import { valuesOf } from '../http/run-feed.ts'
import type { PreparedRun } from '../prepare-run.ts'
import { EventFile } from './event-file.ts'
import type { SummaryValue } from './event-message.ts'
import { histogramOf } from './histogram.ts'

/**
 * `--tensorboard`: the numbers of metrics.jsonl, the sample grids and at each checkpoint a histogram of each tensor, for TensorBoard.
 * A run does not depend on it: what cannot be written is left out and told once.
 */
export function openTensorboard({ config, folder, runId }: PreparedRun, step: number): void {
  if (!config.tensorboard) return
  let full = false
  const attempt = (write: (file: EventFile) => boolean | undefined) => {
    if (full) return
    try {
      file ??= new EventFile(path, step, limits.tensorboardBytes)
      if (write(file) !== false) return
      folder.event('tensorboard-full', { bytes: limits.tensorboardBytes })
    } catch (error) {
      folder.event('tensorboard-over', { reason: messageOf(error) })
    }
    full = true
  }
  const path = join(folder.path, 'tensorboard', `events.out.tfevents.0.${runId}`)
  let file: EventFile | null = null
  const add = (at: number, values: readonly SummaryValue[], time = Date.now()) =>
    attempt((events) => values.length === 0 || events.add(time / 1000, at, values))
  attempt(() => true)
  folder.onMetrics((line) => {
    const { step: at, time } = line as { step: number; time: string }
    add(at, scalars(valuesOf(line as Record<string, unknown>)), Date.parse(time))
  })
  folder.onPicture((kind, at, png) => add(at, [{ tag: kind, png }]))
  folder.onEvent((kind, fields) => {
    const { step: at, figures, folder: checkpoint } = fields as { step: number; [field: string]: unknown }
    if (kind === 'rewound') attempt((events) => void events.rewind(at))
    if (kind === 'evaluation') add(at, scalars(figures as Record<string, number>, 'evaluation/'))
    if (kind === 'checkpoint')
      readFile(join(folder.path, String(checkpoint), 'weights.safetensors')).then(
        (bytes) => add(at, histograms(bytes)),
        () => {}, // it is gone already: a later one is there
      )
  })
}

function scalars(values: Readonly<Record<string, number>>, prefix = ''): SummaryValue[] {
  return Object.entries(values).map(([name, scalar]) => ({ tag: `${prefix}${name}`, scalar }))
}

function histograms(weights: Uint8Array): SummaryValue[] {
  return [...decodeSafetensors(weights).tensors].flatMap(([tag, { data }]) => {
    const histogram = histogramOf(data)
    return histogram ? [{ tag, histogram }] : []
  })
}
