import type { MetricRegistry } from '../../shared/metrics/metric-registry.ts'
import { counter } from '../thread-messages.ts'

/** What the main thread tells of the device that it computes on, by the shared counters; all 0 where that is the CPU. */
export function watchDevice(registry: MetricRegistry, counters: Int32Array): void {
  const seconds = (name: string, help: string, place: number) => {
    let before = 0
    registry.counter(name, help, [], (metric) => {
      const micros = Atomics.load(counters, place)
      metric.inc(((micros - before) >>> 0) / 1e6) // the counter wraps around
      before = micros
    })
  }
  seconds(
    'ringleader_rank_device_upload_seconds_total',
    'Seconds in which this worker handed weights to its GPU; 0 on a CPU',
    counter.uploadMicros,
  )
  seconds(
    'ringleader_rank_device_read_seconds_total',
    'Seconds in which this worker waited for its GPU and read what it had computed; 0 on a CPU',
    counter.readMicros,
  )
  seconds(
    'ringleader_rank_device_kernel_seconds_total',
    "Seconds in which the kernels of its GPU computed, estimated from one evaluation of 101 by the device's time stamps; 0 on a CPU, and where it has none, as through CUDA",
    counter.kernelMicros,
  )
  registry.gauge(
    'ringleader_rank_device_memory_bytes',
    'Memory of its GPU that this worker has allocated; 0 on a CPU, and through CUDA, which does not tell',
    [],
    (metric) => metric.set((Atomics.load(counters, counter.deviceKiB) >>> 0) * 1024),
  )
}
