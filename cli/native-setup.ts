import { availableParallelism } from 'node:os'
import { RingleaderError } from '../shared/core/errors.ts'
import { buildNative } from '../worker/backend/native/build-native.ts'
import type { BackendName } from '../worker/backend/open-backend.ts'

/** Sets TensorFlow up where that is possible; false, with one line about it, where it is not. */
export async function prepareNative(verify: boolean): Promise<boolean> {
  const say = (line: string) => process.stderr.write(`ringleader: ${line}\n`)
  try {
    const native = await buildNative({ say, verify })
    if (verify) say(`TensorFlow ${native.manifest.tensorflow} is set up in ${native.folder}`)
    return true
  } catch (error) {
    if (!(error instanceof RingleaderError && error.recoverable)) throw error
    say(`no native TensorFlow: ${error.message}. Using the wasm backend, which is 5 to 20 times slower`)
    return false
  }
}

/** The backend that the workers of this host are told to use. */
export async function chosenBackend(wanted: BackendName): Promise<BackendName> {
  if (wanted === 'wasm' || wanted === 'webgpu') return wanted
  if (await prepareNative(false)) return 'tensorflow'
  return wanted === 'tensorflow' ? 'tensorflow' : 'wasm'
}

/** Threads for each of the workers on this host. */
export function threadsPerWorker(workers: number): number {
  return Math.max(1, Math.floor(availableParallelism() / workers))
}
