import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { cacheFolder } from '../../../shared/core/cache-folder.ts'
import { type LibrarySet, librarySet } from './library-set.ts'

const addonName = 'tfjs_binding.node'
/** Of the addon, beside tfjs-node's: what C++ there is in this folder, which is what the build brings along. */
const ownFiles = readdirSync(new URL('.', import.meta.url))
  .filter((file) => /\.(cc|h)$/.test(file))
  .sort()
  .map((file) => fileURLToPath(new URL(file, import.meta.url)))
export const ownSources: readonly string[] = ownFiles.filter((file) => file.endsWith('.cc'))
const libraryNames = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2']
export const compileFlags = ['-std=c++17', '-O3', '-fPIC', '-shared', '-DNAPI_VERSION=8', '-Wl,-rpath,$ORIGIN'] as const

const manifestSchema = z.object({
  tensorflow: z.string(),
  files: z.record(z.string(), z.object({ bytes: z.number(), sha256: z.string() })),
})
export type NativeManifest = z.infer<typeof manifestSchema>

export interface NativeLibrary {
  readonly folder: string
  readonly addon: string
  readonly manifest: NativeManifest
}

/** Within the folder of a library: TensorFlow's own files, and the addon beside them. One for GPUs finds CUDA's at ../nvidia, as the wheels lie. */
export function layout(kind: LibrarySet['kind']): { readonly libraries: readonly string[]; readonly addon: string } {
  const within = (name: string) => (kind === 'gpu' ? join('tensorflow', name) : name)
  return { libraries: libraryNames.map(within), addon: within(addonName) }
}

/** Folder of tfjs-node, or null where npm left the optional package out. */
export function tfjsNodeFolder(): string | null {
  try {
    return dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-node/package.json'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return null
    throw error
  }
}

/** Where the library of this version of everything belongs: a name by content, shared by all clones of a user. */
export function nativeFolder(tfjsNode: string, set: LibrarySet): string {
  const hash = createHash('sha256')
    .update(set.wheels.map(({ sha256 }) => sha256).join(' '))
    .update(compileFlags.join(' '))
    .update(`${process.platform}-${process.arch}`)
  const theirs = ['binding/tfjs_backend.cc', 'binding/tfjs_binding.cc', 'package.json']
  for (const file of [...theirs.map((name) => join(tfjsNode, name)), ...ownFiles]) hash.update(readFileSync(file))
  return join(cacheFolder(), 'native', hash.digest('hex').slice(0, 24))
}

/** The library that is set up, or null. Sizes are checked; `verifyNative` reads every byte. */
export function findNative(kind: LibrarySet['kind'] = 'cpu'): NativeLibrary | null {
  const tfjsNode = tfjsNodeFolder()
  if (tfjsNode === null) return null
  const folder = nativeFolder(tfjsNode, librarySet(kind))
  const path = join(folder, 'manifest.json')
  if (!existsSync(path)) return null
  const manifest = readManifest(path)
  if (!manifest) return null
  const whole = Object.entries(manifest.files).every(
    ([name, file]) => existsSync(join(folder, name)) && statSync(join(folder, name)).size === file.bytes,
  )
  return whole ? { folder, addon: join(folder, layout(kind).addon), manifest } : null
}

function readManifest(path: string): NativeManifest | null {
  try {
    return manifestSchema.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch {
    return null // a damaged manifest is a library that is not there: the next set-up builds it again
  }
}

/** Name of the first file whose SHA-256 is not the one of the manifest; null where all are. */
export async function verifyNative(library: NativeLibrary): Promise<string | null> {
  for (const [name, file] of Object.entries(library.manifest.files)) {
    if ((await sha256OfFile(join(library.folder, name))) !== file.sha256) return name
  }
  return null
}

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
  return hash.digest('hex')
}
