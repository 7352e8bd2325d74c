import { type ChildProcess, fork } from 'node:child_process'
import { onInterrupt } from '../process/interrupt.ts'
import type { FromAllReduceProcess, ToAllReduceProcess } from './all-reduce-messages.ts'

/** A worker process of one group, on this host or another. */
export interface BenchWorker {
  readonly running: boolean
  /** Where its data comes in, if this end says so. */
  readonly dataBind: string
  send(message: ToAllReduceProcess): void
  /** Both for one answer; the function takes them back. */
  listen(onMessage: (message: FromAllReduceProcess) => void, onEnd: () => void): () => void
  /** By itself, or by force when it does not within a second. */
  end(): Promise<void>
}

const patienceMs = 1000

export function forkWorker(dataBind: string): BenchWorker {
  const child = fork(new URL('./all-reduce-process.js', import.meta.url), {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  endWithThisProcess(child)
  return {
    dataBind,
    get running() {
      return child.connected
    },
    send(message) {
      if (child.connected) child.send(message)
    },
    listen(onMessage, onEnd) {
      child.on('message', onMessage)
      child.once('exit', onEnd)
      return () => {
        child.off('message', onMessage)
        child.off('exit', onEnd)
      }
    },
    end: () => ended(child),
  }
}

const running = new Set<ChildProcess>()
let takeBack: () => void = () => {}

function endWithThisProcess(child: ChildProcess): void {
  if (running.size === 0)
    takeBack = onInterrupt(() => {
      for (const worker of running) worker.kill('SIGKILL')
    })
  running.add(child)
  child.once('exit', () => {
    running.delete(child)
    if (running.size === 0) takeBack()
  })
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise((resolve) => child.once('exit', resolve))
  if (child.connected) child.send({ kind: 'end' } satisfies ToAllReduceProcess)
  const patience = setTimeout(() => child.kill('SIGKILL'), patienceMs)
  await exited
  clearTimeout(patience)
}
