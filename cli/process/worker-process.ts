import { assert } from '../../shared/core/errors.ts'
import { startWorker } from '../../worker/main.ts'
import { runChild } from './child.ts'
import type { ToWorkerProcess } from './messages.ts'

runChild<ToWorkerProcess>((first, onMessage) => {
  assert(first.kind === 'start', 'the first message starts the worker')
  const worker = startWorker(first.options)
  onMessage((message) => {
    if (message.kind === 'drain') worker.drain(message.reason)
  })
  return worker.done
})
