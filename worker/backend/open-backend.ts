import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { RingleaderError } from '../../shared/core/errors.ts'
import type { Backend } from './backend.ts'
import { openCuda } from './cuda/open-cuda.ts'
import { loadTensorFlowNode, requireNative } from './native/load-native-binding.ts'
import { makeNativeBackend } from './native/native-backend.ts'
import { findNative } from './native/native-cache.ts'
import { makeTfjsBackend } from './tfjs-backend.ts'
import { openWebgpu } from './webgpu/open-webgpu.ts'

export const backendNames = ['auto', 'tensorflow', 'tensorflow-gpu', 'webgpu', 'wasm'] as const
export type BackendName = (typeof backendNames)[number]

/** Opens a backend by name; `auto` is the native library where it is set up, else `wasm`. `device`: a part of the name of a GPU, or the number of one of NVIDIA's. */
export async function openBackend(name: BackendName, threads: number, device: string | null = null): Promise<Backend> {
  const chosen = name === 'auto' ? (findNative() ? 'tensorflow' : 'wasm') : name
  switch (chosen) {
    case 'tensorflow':
      return openNative(threads)
    case 'tensorflow-gpu':
      setThreads(threads)
      return openCuda(device)
    case 'webgpu':
      return openWebgpu(device)
    case 'wasm':
      return openWasm(threads)
    default:
      chosen satisfies never
      throw new RingleaderError('backend', `no backend ${String(chosen)}`)
  }
}

/** Whether it computes on a GPU, which has threads of its own. */
export function onDevice(name: BackendName): boolean {
  return name === 'webgpu' || name === 'tensorflow-gpu'
}

function openNative(threads: number): Backend {
  setThreads(threads)
  const native = requireNative('cpu')
  return makeNativeBackend(loadTensorFlowNode(native), native.manifest.tensorflow)
}

/** Of TensorFlow, before it is loaded. */
function setThreads(threads: number): void {
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2' // errors only
  process.env.TF_NUM_INTRAOP_THREADS ??= String(threads)
  process.env.TF_NUM_INTEROP_THREADS ??= '1'
  process.env.OMP_NUM_THREADS ??= String(threads)
}

async function openWasm(threads: number): Promise<Backend> {
  const require = createRequire(import.meta.url)
  const tf = await import('@tensorflow/tfjs')
  const wasm = await import('@tensorflow/tfjs-backend-wasm')
  wasm.setWasmPaths(`${dirname(require.resolve('@tensorflow/tfjs-backend-wasm'))}/`)
  wasm.setThreadsCount(threads)
  if (!(await tf.setBackend('wasm')))
    throw new RingleaderError('backend', 'the wasm backend does not start on this host')
  return makeTfjsBackend(tf, 'wasm', tf.version.tfjs ?? '')
}
