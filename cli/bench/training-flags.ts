import type { Options } from 'yargs'
import { resolveConfig, usage } from '../../shared/core/config.ts'
import { backendFlag } from '../device.ts'
import { runFlags } from '../run-options.ts'
import { type Span, type Training, trainingRequest } from './training.ts'

const { model, reproducible, algorithm, compression, wire, math } = runFlags

/** Run options of the trainings that are measured. The values go to the run as they do for `train`. */
export const trainingFlags = {
  model,
  'batch-size': runFlags['batch-size'],
  reproducible,
  algorithm,
  compression,
  'compression-ratio': runFlags['compression-ratio'],
  wire,
  math,
  backend: backendFlag,
  seconds: { type: 'number', describe: 'seconds to measure, after the warm-up', default: 20 },
  'warm-up': {
    type: 'number',
    describe: 'seconds that are left out after the first step, and five steps',
    default: 10,
  },
} as const satisfies Record<string, Options>

/** metrics.jsonl has a line for each of 100,000 steps, even of fast ones. */
const longestSeconds = 600

export function spanOf({ seconds, warmUp }: Readonly<Record<string, unknown>>): Span {
  return { seconds: secondsOf('seconds', seconds, 1), warmUp: secondsOf('warm-up', warmUp, 0) }
}

function secondsOf(flag: string, value: unknown, least: number): number {
  const seconds = Number(value)
  if (seconds >= least && seconds <= longestSeconds) return seconds
  throw usage(`--${flag} ${seconds}: write seconds from ${least} to ${longestSeconds}`)
}

/** Refuses, before anything starts, what the run would refuse. */
export function checked(training: Training): Training {
  resolveConfig(trainingRequest(training).options)
  return training
}
