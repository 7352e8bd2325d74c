import { createRequire } from 'node:module'
import { assert, exitCode, messageOf, RingleaderError } from '../../../shared/core/errors.ts'
import type { FileMapping } from '../../../shared/transport/file-windows.ts'
import type { Attribute, Binding } from './eager.ts'
import type { LibrarySet } from './library-set.ts'
import { findNative, type NativeLibrary } from './native-cache.ts'

/** The addon, whichever library it is compiled over. */
export interface LoadedBinding extends Binding {
  isUsingGpuDevice(): boolean
  /** Of tfjs-node: for operations with more inputs than `runOp` takes. */
  executeOp(
    name: string,
    attributes: readonly Attribute[],
    inputs: readonly number[],
    outputs: number,
  ): { readonly id: number; readonly shape: readonly number[] }[]
}

let loaded: string | null = null

/** The library that is set up, or an error that says how to do that. */
export function requireNative(kind: LibrarySet['kind']): NativeLibrary {
  const native = findNative(kind)
  if (native) return native
  const message =
    kind === 'gpu'
      ? "TensorFlow's library for NVIDIA's cards is not set up; run `ringleader setup --gpu`, or write --backend tensorflow"
      : 'the native TensorFlow library is not set up; run `ringleader setup`, or write --backend wasm'
  throw new RingleaderError('native-missing', message, { exit: exitCode.config })
}

/**
 * Loads tfjs-node over the cached addon; a process has one library. The package asks `node-pre-gyp` for the addon's path; the
 * answer is replaced, so that nothing is written into node_modules and clones share one library. `explain`: what an error means,
 * where that is known.
 */
export function loadTensorFlowNode(
  native: NativeLibrary,
  explain: (told: string) => string | null = () => null,
): LoadedBinding {
  assert(loaded === null || loaded === native.addon, "a process computes with one of TensorFlow's libraries")
  loaded = native.addon
  const require = createRequire(import.meta.url)
  // tfjs-node calls what Node 22 warns of and Node 23 has no more.
  const util = require('node:util') as { isNullOrUndefined: (value: unknown) => boolean }
  util.isNullOrUndefined = (value) => value === null || value === undefined
  const fromPackage = createRequire(require.resolve('@tensorflow/tfjs-node'))
  const finder = fromPackage('@mapbox/node-pre-gyp') as object
  const cached = require.cache[fromPackage.resolve('@mapbox/node-pre-gyp')]
  assert(cached, 'a module that was loaded is in the cache')
  cached.exports = Object.create(finder, { find: { value: () => native.addon } })
  try {
    const tf = require('@tensorflow/tfjs-node') as { findBackend(name: 'tensorflow'): { binding: LoadedBinding } }
    return tf.findBackend('tensorflow').binding
  } catch (error) {
    const known = explain(messageOf(error))
    throw new RingleaderError(
      'native-broken',
      known ??
        `the native TensorFlow library in ${native.folder} does not load (${messageOf(error)}); delete that folder and run \`ringleader setup\``,
      { cause: error, exit: exitCode.config },
    )
  } finally {
    cached.exports = finder
  }
}

/** Null where the addon is not set up. */
export function nativeMapping(): FileMapping | null {
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2' // errors only
  const native = findNative()
  return native && loadTensorFlowNode(native)
}
