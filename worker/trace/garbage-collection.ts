import { PerformanceObserver } from 'node:perf_hooks'
import { sinceThreadStart } from '../../shared/core/clock.ts'
import { traceKind } from '../../shared/protocol/trace-record.ts'
import type { Trace } from './trace.ts'

const kind = traceKind('garbage collection')

/** Notes the garbage collections of the thread that calls this. */
export function traceGarbageCollection(trace: Trace): void {
  const observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) {
      const start = sinceThreadStart(startTime)
      trace.add(kind, start, start + duration)
    }
  })
  observer.observe({ entryTypes: ['gc'] })
}
