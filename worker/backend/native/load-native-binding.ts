import { createRequire } from 'node:module'
import { assert, exitCode, messageOf, RingleaderError } from '../../../shared/core/errors.ts'
import type { Binding } from './eager.ts'
import { findNative, type NativeLibrary } from './native-cache.ts'

/**
 * Loads tfjs-node over the cached addon. The package asks `node-pre-gyp` for the addon's path; the answer is replaced,
 * so that nothing is written into node_modules and clones share one library.
 */
export function loadTensorFlowNode(): { binding: Binding; native: NativeLibrary } {
  const native = findNative()
  if (!native)
    throw new RingleaderError(
      'native-missing',
      'the native TensorFlow library is not set up; run `ringleader setup`, or write --backend wasm',
      { exit: exitCode.config },
    )
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
    const tf = require('@tensorflow/tfjs-node') as { findBackend(name: 'tensorflow'): { binding: Binding } }
    return { binding: tf.findBackend('tensorflow').binding, native }
  } catch (error) {
    throw new RingleaderError(
      'native-broken',
      `the native TensorFlow library in ${native.folder} does not load (${messageOf(error)}); delete that folder and run \`ringleader setup\``,
      { cause: error, exit: exitCode.config },
    )
  } finally {
    cached.exports = finder
  }
}
