import { chaosCommand } from './command/chaos.ts'
import { coordinatorCommand } from './command/coordinator.ts'
import { generateCommand } from './command/generate.ts'
import { setupCommand } from './command/setup.ts'
import { statusCommand } from './command/status.ts'
import { trainCommand } from './command/train.ts'
import { workerCommand } from './command/worker.ts'
import type { Command } from './parse.ts'

export const commands: readonly Command[] = [
  trainCommand,
  coordinatorCommand,
  workerCommand,
  generateCommand,
  statusCommand,
  chaosCommand,
  setupCommand,
]
