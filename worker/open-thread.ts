import { Worker } from 'node:worker_threads'
import type { CommunicationThread } from './link.ts'
import type { FromThread, ThreadData } from './thread-messages.ts'

/** Starts the communication thread. */
export function openThread(data: ThreadData): CommunicationThread {
  const thread = new Worker(new URL('./communication-thread.js', import.meta.url), { workerData: data })
  return {
    post: (message) => thread.postMessage(message),
    onMessage: (handler) => void thread.on('message', (message: FromThread) => handler(message)),
    onEnd(handler) {
      thread.on('error', handler)
      thread.on('exit', () => handler(null))
    },
  }
}
