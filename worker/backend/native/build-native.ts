import { chmod, mkdir, readdir, rename, rm, stat, statfs, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { writeFileAtomic } from '../../../shared/core/atomic-file.ts'
import { withProcessLock } from '../../../shared/core/process-lock.mjs'
import { downloadFolder, fetchWheels, presentWheels } from './fetch-wheels.ts'
import { type LibrarySet, librarySet } from './library-set.ts'
import {
  compileFlags,
  findNative,
  layout,
  type NativeLibrary,
  type NativeManifest,
  nativeFolder,
  ownSources,
  sha256OfFile,
  tfjsNodeFolder,
  verifyNative,
} from './native-cache.ts'
import { findTool, run, unavailable } from './tools.ts'

export interface BuildOptions {
  /** Told what takes long, one line each. */
  readonly say: (line: string) => void
  /** Reads every byte of a library that is there already. */
  readonly verify: boolean
  /** The CPU's, if left out. */
  readonly kind?: LibrarySet['kind']
  /** Asked before anything is fetched; rejects where the user does not want it. */
  readonly agree?: (cost: Cost) => Promise<void>
}

export interface Cost {
  readonly fetchMegabytes: number
  readonly keepMegabytes: number
  readonly folder: string
}

/**
 * Fetches TensorFlow's library with the user's pip and compiles tfjs-node's addon over it. A library that is set up is
 * returned at once. Safe when several run at once, and taken up again when interrupted: everything is made under a
 * temporary name, and a wheel that came whole is kept until the library stands.
 * @throws RingleaderError `native-unavailable`, recoverable: the `wasm` backend still works.
 */
export async function buildNative(options: BuildOptions): Promise<NativeLibrary> {
  const { say, verify, kind = 'cpu' } = options
  const tfjsNode = tfjsNodeFolder()
  if (tfjsNode === null) throw unavailable('the package @tensorflow/tfjs-node is not installed')
  if (!verify) {
    const present = findNative(kind)
    if (present) return present
  }
  const set = librarySet(kind)
  const folder = nativeFolder(tfjsNode, set)
  return withProcessLock(
    `${folder}.lock`,
    async () => {
      const present = findNative(kind)
      if (present) {
        const damaged = verify ? await verifyNative(present) : null
        if (damaged === null) return present
        say(`${join(present.folder, damaged)} is damaged; building the library again`)
        await rm(present.folder, { recursive: true, force: true })
      }
      await build(tfjsNode, set, folder, options)
      const built = findNative(kind)
      if (!built) throw unavailable(`the library in ${folder} is not whole; is the disk full?`)
      return built
    },
    () => say('another process is setting up TensorFlow; waiting for it'),
  )
}

async function build(tfjsNode: string, set: LibrarySet, folder: string, { say, agree }: BuildOptions): Promise<void> {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw unavailable(`there is no wheel for ${process.platform}-${process.arch}`)
  const python = await findTool(['python3', 'python'], ['-m', 'pip', '--version'])
  if (python === null) throw unavailable('python3 with pip is missing; install python3-pip')
  const compiler = await findTool([process.env.CXX ?? 'g++', 'g++', 'clang++', 'c++'], ['--version'])
  if (compiler === null) throw unavailable('a C++ compiler is missing; install g++')
  const downloads = downloadFolder(set)
  const present = await presentWheels(set)
  const missing = set.wheels.filter(({ sha256 }) => !present.has(sha256))
  const fetchMegabytes = missing.reduce((sum, { megabytes }) => sum + megabytes, 0)
  await checkRoom(downloads, fetchMegabytes + set.megabytes)
  await agree?.({ fetchMegabytes, keepMegabytes: set.megabytes, folder: dirname(folder) })
  const wheels = await fetchWheels(python, set, present, say)
  const temporary = `${folder}.tmp`
  await rm(temporary, { recursive: true, force: true })
  await mkdir(temporary, { recursive: true })
  try {
    say('unpacking the library and compiling the addon ...')
    await unpack(python, wheels, temporary, set.kind).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'ENOENT' ? unavailable(`the wheels have no ${relative(temporary, error.path ?? '')}`) : error
    })
    await compile(compiler, tfjsNode, temporary, set.kind)
    await rm(join(temporary, unpacked), { recursive: true, force: true })
    const files: NativeManifest['files'] = {}
    for (const path of await filesOf(temporary))
      files[relative(temporary, path)] = { bytes: (await stat(path)).size, sha256: await sha256OfFile(path) }
    writeFileAtomic(
      join(temporary, 'manifest.json'),
      `${JSON.stringify({ tensorflow: set.version, files } satisfies NativeManifest, null, 2)}\n`,
    )
    await rm(folder, { recursive: true, force: true })
    await rename(temporary, folder)
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    throw error
  }
  await rm(downloads, { recursive: true, force: true })
}

async function checkRoom(folder: string, megabytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  const free = Math.floor((bavail * bsize) / 1e6)
  if (free < megabytes)
    throw unavailable(`${folder} has ${free} MB free, ${megabytes} MB are needed; RINGLEADER_CACHE names another place`)
}

/** Regular files below a folder, in order. */
async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
}

const unpacked = 'unpacked'
/** What is taken from the wheels. */
const taken = [
  String.raw`tensorflow/libtensorflow_(cc|framework)\.so\.2`,
  'tensorflow/include/(tensorflow/c|tensorflow/core/platform|tensorflow/tsl|tsl)/.*',
  String.raw`nvidia/\w+/lib/lib.*\.so.*`,
  'nvidia/cuda_nvcc/(bin|nvvm/libdevice)/.*',
].join('|')

/** A wheel is a zip; Python reads it anyway where pip is. Arguments: folder, names to take, wheels. */
const unpackScript = `
import re, sys, zipfile
folder, taken, wheels = sys.argv[1], sys.argv[2], sys.argv[3:]
for wheel in wheels:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if re.fullmatch(taken, name) and not name.endswith('/'):
                archive.extract(name, folder)
`

async function unpack(
  python: string,
  wheels: readonly string[],
  folder: string,
  kind: LibrarySet['kind'],
): Promise<void> {
  const from = join(folder, unpacked)
  await run(python, ['-c', unpackScript, from, taken, ...wheels])
  const { libraries } = layout(kind)
  await mkdir(dirname(join(folder, libraries[0] ?? '')), { recursive: true })
  for (const library of libraries) {
    const [name = ''] = library.split('/').slice(-1)
    await rename(join(from, 'tensorflow', name), join(folder, library))
  }
  if (kind !== 'gpu') return
  const nvidia = join(folder, 'nvidia')
  await rename(join(from, 'nvidia'), nvidia)
  await symlink('cuda_nvrtc', join(nvidia, 'nvrtc')) // where cuDNN's library looks for it
  const programs = join(nvidia, 'cuda_nvcc', 'bin') // the assembler, which TensorFlow finds by this place
  for (const name of await readdir(programs)) await chmod(join(programs, name), 0o755)
}

async function compile(compiler: string, tfjsNode: string, folder: string, kind: LibrarySet['kind']): Promise<void> {
  const nodeHeaders = join(dirname(createRequire(import.meta.url).resolve('node-api-headers/package.json')), 'include')
  const headers = join(folder, unpacked, 'tensorflow/include')
  const includes = [headers, dirname(tfjsNode), tfjsNode, join(tfjsNode, 'binding'), nodeHeaders].map(
    (path) => `-I${path}`,
  )
  const sources = [join(tfjsNode, 'binding/tfjs_backend.cc'), ...ownSources]
  const { libraries, addon } = layout(kind)
  const linked = libraries.map((file) => join(folder, file))
  await run(compiler, [...compileFlags, ...includes, ...sources, ...linked, '-o', join(folder, addon)])
}
