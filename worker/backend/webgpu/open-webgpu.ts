import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu'
import { assert, exitCode, RingleaderError } from '../../../shared/core/errors.ts'
import type { Backend } from '../backend.ts'
import { makeTfjsBackend } from '../tfjs-backend.ts'
import { type Adapter, loadDawn, provideGpu } from './webgpu-library.ts'
import { webgpuTransfers } from './webgpu-transfers.ts'

let opened: { readonly device: string | null; readonly adapter: Adapter } | null = null

/** TensorFlow.js on a GPU, through Dawn. `device`: a part of its name; null: the fastest one. A process has one. */
export async function openWebgpu(device: string | null): Promise<Backend> {
  assert(opened === null || opened.device === device, 'a process computes on one GPU')
  const adapter = opened?.adapter ?? (await provideGpu(await loadDawn(), device))
  opened = { device, adapter }
  const tf = await import('@tensorflow/tfjs')
  await import('@tensorflow/tfjs-backend-webgpu') // looks for navigator.gpu at once
  if (!(await tf.setBackend('webgpu')))
    throw new RingleaderError('backend', 'the webgpu backend does not start on this host', { exit: exitCode.config })
  const engine = tf.backend() as WebGPUBackend
  const name = nameOf(adapter.info)
  const transfers = webgpuTransfers(tf, engine, failureOf(engine.device, name))
  return makeTfjsBackend(tf, 'webgpu', `${tf.version.tfjs} on ${name}`, transfers)
}

/** As its driver describes it. */
function nameOf({ description, device, vendor }: GPUAdapterInfo): string {
  return description || device || vendor || 'a GPU without a name'
}

/** Rejects once the device is lost, or has run out of memory, or has refused a command: what it computes is no good any more. */
function failureOf(device: GPUDevice, name: string): Promise<never> {
  const failure = new Promise<never>((_, reject) => {
    const fail = (what: string) =>
      reject(new RingleaderError('device-lost', `${name} ${what}`, { exit: exitCode.temporary }))
    void device.lost.then(({ reason, message }) => fail(`is lost (${reason || 'unknown'}): ${message}`))
    device.onuncapturederror = ({ error }) => {
      const [line = ''] = error.message.split('\n')
      fail(error instanceof GPUOutOfMemoryError ? `is out of memory: ${line}` : `refused a command: ${line}`)
    }
  })
  failure.catch(() => {}) // whoever waits for the device hears of it
  return failure
}
