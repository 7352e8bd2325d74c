import type * as tfjs from '@tensorflow/tfjs'
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu'
import { assert } from '../../../shared/core/errors.ts'
import type { Read, Transfers } from '../tfjs-transfers.ts'
import { KernelTimes } from './kernel-times.ts'

/** Between the host's memory and a GPU's. `failure` rejects once the device is no good any more. */
export function webgpuTransfers(tf: typeof tfjs, engine: WebGPUBackend, failure: Promise<never>): Transfers {
  const { device, queue } = engine
  const buffers = new Map<tfjs.Tensor, GPUBuffer>()
  const kernels = new KernelTimes(engine)
  let plain = new Float32Array(0)
  let staging: GPUBuffer | null = null
  let uploadSeconds = 0
  let readSeconds = 0

  /** Dawn's bindings crash on shared memory, so weights go through memory that is not. */
  const write = (buffer: GPUBuffer, weights: Float32Array) => {
    const since = performance.now()
    if (plain.length < weights.length) plain = new Float32Array(weights.length)
    plain.set(weights)
    queue.writeBuffer(buffer, 0, plain, 0, weights.length)
    uploadSeconds += (performance.now() - since) / 1000
  }

  const room = (bytes: number): GPUBuffer => {
    if (staging && staging.size >= bytes) return staging
    staging?.destroy()
    staging = device.createBuffer({ size: bytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST })
    return staging
  }

  const flush = () => {
    engine.ensureCommandEncoderReady()
    engine.endComputePassEncoder()
    engine.submitQueue()
  }

  /** All of them joined in one buffer, for one wait and one mapping. */
  const readJoined = async (reads: readonly (Read & { source: GPUBuffer })[]) => {
    const total = reads.reduce((sum, { into }) => sum + into.byteLength, 0)
    const joined = room(total)
    const encoder = device.createCommandEncoder()
    let offset = 0
    for (const { source, into } of reads) {
      encoder.copyBufferToBuffer(source, 0, joined, offset, into.byteLength)
      offset += into.byteLength
    }
    queue.submit([encoder.finish()])
    await Promise.race([joined.mapAsync(GPUMapMode.READ, 0, total), failure])
    const values = new Float32Array(joined.getMappedRange(0, total))
    let at = 0
    for (const { into } of reads) {
      into.set(values.subarray(at, at + into.length))
      at += into.length
    }
    joined.unmap()
  }

  return {
    bind({ weights, shape }) {
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST
      const buffer = device.createBuffer({ size: weights.byteLength, usage })
      write(buffer, weights)
      const tensor = tf.keep(tf.tensor({ buffer, zeroCopy: true }, [...shape], 'float32'))
      buffers.set(tensor, buffer)
      return tensor
    },
    refresh(tensor, { weights }) {
      const buffer = buffers.get(tensor)
      assert(buffer, 'a parameter has a buffer')
      write(buffer, weights)
      return tensor
    },
    release(tensor) {
      flush()
      buffers.get(tensor)?.destroy()
      buffers.delete(tensor)
      tensor.dispose()
    },
    evaluate: (run) => kernels.run(run),
    input: (values, shape) => tf.tensor(values.slice(), [...shape], 'float32'), // uploaded at its first use
    async read(reads) {
      const since = performance.now()
      flush()
      let group: (Read & { source: GPUBuffer })[] = []
      let bytes = 0
      const readGroup = async () => {
        if (group.length > 0) await readJoined(group)
        group = []
        bytes = 0
      }
      for (const read of reads) {
        const { values, resource } = engine.tensorMap.get(read.tensor.dataId)
        if (values) read.into.set(values as Float32Array) // small ones are computed on the host
        if (values || read.into.length === 0) continue
        if (bytes + read.into.byteLength > device.limits.maxBufferSize) await readGroup()
        group.push({ ...read, source: resource as GPUBuffer })
        bytes += read.into.byteLength
      }
      await readGroup()
      await Promise.race([kernels.settle(), failure])
      readSeconds += (performance.now() - since) / 1000
      for (const { done } of reads) done?.()
    },
    use() {
      const weights = [...buffers.values()].reduce((sum, { size }) => sum + size, 0)
      const bytes = engine.memory().numBytesAllocatedInGPU + weights + (staging?.size ?? 0)
      return { uploadSeconds, readSeconds, kernelSeconds: kernels.seconds, bytes }
    },
  }
}
