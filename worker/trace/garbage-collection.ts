import { PerformanceObserver } from 'node:perf_hooks'
import { sinceThreadStart } from '../../shared/core/clock.ts'
import { traceKind } from '../../shared/protocol/trace-record.ts'
import type { Trace } from './trace.ts'

const kind = traceKind('garbage collection')

/** Adds up, in a shared counter, the microseconds of this thread's garbage collections. */
export function countGarbageCollection(counters: Int32Array, place: number): void {
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) Atomics.add(counters, place, Math.round(1000 * duration))
  })
  observer.observe({ entryTypes: ['gc'] })
}

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
