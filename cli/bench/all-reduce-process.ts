import { assert } from '../../shared/core/errors.ts'
import { runChild } from '../process/child.ts'
import type { FromAllReduceProcess, ToAllReduceProcess } from './all-reduce-messages.ts'
import { AllReduceWorker } from './all-reduce-worker.ts'

runChild<ToAllReduceProcess>(async (first, onMessage) => {
  assert(first.kind === 'start', 'the first message starts the worker')
  const worker = new AllReduceWorker(first.options)
  const tell = (message: FromAllReduceProcess) => void process.send?.(message)
  onMessage((message) => {
    if (message.kind === 'form') worker.form(message.rank, message.peers)
    else if (message.kind === 'measure') void worker.measure(message.bytes, message.iterations).then(tell, () => {})
    else if (message.kind === 'end') worker.end()
  })
  tell({ kind: 'open', endpoint: await worker.opened })
  return worker.done
})
