import type { Options } from 'yargs'
import { resolveConfig, usage } from '../../shared/core/config.ts'
import { backendFlag } from '../command/worker.ts'
import { runFlags } from '../run-options.ts'
import { type Training, trainingRequest } from './training.ts'

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
  seconds: { type: 'number', describe: 'seconds to measure, after a warm-up', default: 20 },
} as const satisfies Record<string, Options>

/** metrics.jsonl has a line for each of 100,000 steps, even of fast ones. */
const longestSeconds = 600

export function secondsOf(value: unknown): number {
  const seconds = Number(value)
  if (seconds >= 1 && seconds <= longestSeconds) return seconds
  throw usage(`--seconds ${seconds}: write seconds from 1 to ${longestSeconds}`)
}

/** Refuses, before anything starts, what the run would refuse. */
export function checked(training: Training): Training {
  resolveConfig(trainingRequest(training).options)
  return training
}
