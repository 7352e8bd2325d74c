import { startWorker } from '../../worker/main.ts'
import { runChild } from './child.ts'
import type { ToWorkerProcess } from './messages.ts'

runChild<ToWorkerProcess>((first) => startWorker(first.options).done)
