import { benchAllReduceCommand } from './command/bench-allreduce.ts'
import { benchCoordinatorCommand } from './command/bench-coordinator.ts'
import { benchScaleCommand } from './command/bench-scale.ts'
import { benchScalingCommand } from './command/bench-scaling.ts'
import { benchStepCommand } from './command/bench-step.ts'
import { benchWorkerCommand } from './command/bench-worker.ts'
import { chaosCommand } from './command/chaos.ts'
import { coordinatorCommand } from './command/coordinator.ts'
import { devicesCommand } from './command/devices.ts'
import { evaluateCommand } from './command/evaluate.ts'
import { exportCommand } from './command/export.ts'
import { generateCommand } from './command/generate.ts'
import { pruneCommand } from './command/prune.ts'
import { setupCommand } from './command/setup.ts'
import { statusCommand } from './command/status.ts'
import { sweepCommand } from './command/sweep.ts'
import { trainCommand } from './command/train.ts'
import { viewCommand } from './command/view.ts'
import { workerCommand } from './command/worker.ts'
import type { Command } from './parse.ts'

export const commands: readonly Command[] = [
  trainCommand,
  coordinatorCommand,
  workerCommand,
  generateCommand,
  evaluateCommand,
  sweepCommand,
  pruneCommand,
  statusCommand,
  viewCommand,
  exportCommand,
  chaosCommand,
  benchAllReduceCommand,
  benchWorkerCommand,
  benchStepCommand,
  benchScalingCommand,
  benchScaleCommand,
  benchCoordinatorCommand,
  devicesCommand,
  setupCommand,
]

/** Of commands of two words, what those with the same first one are for. */
export const groupSummaries: Readonly<Record<string, string>> = {
  bench: 'measure the all-reduce, the steps of a training, and how they scale',
}
