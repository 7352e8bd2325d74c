import { spawn } from 'node:child_process'
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { writeFileAtomic } from '../../../shared/core/atomic-file.ts'
import { cacheFolder } from '../../../shared/core/cache-folder.ts'
import { messageOf, RingleaderError } from '../../../shared/core/errors.ts'
import { withProcessLock } from '../../../shared/core/process-lock.mjs'
import {
  addonFile,
  compileFlags,
  findNative,
  libraryFiles,
  type NativeLibrary,
  type NativeManifest,
  nativeFolder,
  ownSource,
  sha256OfFile,
  tfjsNodeFolder,
  verifyNative,
  wheel,
} from './native-cache.ts'

export interface BuildOptions {
  /** Told what takes long, one line each. */
  readonly say: (line: string) => void
  /** Reads every byte of a library that is there already. */
  readonly verify: boolean
}

/**
 * Fetches TensorFlow's library with the user's pip and compiles tfjs-node's addon over it. A library that is set up is
 * returned at once. Safe when several run at once, and taken up again when interrupted: everything is made under a
 * temporary name, and a wheel that came whole is kept until the library stands.
 * @throws RingleaderError `native-unavailable`, recoverable: the `wasm` backend still works.
 */
export async function buildNative({ say, verify }: BuildOptions): Promise<NativeLibrary> {
  const tfjsNode = tfjsNodeFolder()
  if (tfjsNode === null) throw unavailable('the package @tensorflow/tfjs-node is not installed')
  if (!verify) {
    const present = findNative()
    if (present) return present
  }
  const folder = nativeFolder(tfjsNode)
  return withProcessLock(
    `${folder}.lock`,
    async () => {
      const present = findNative()
      if (present) {
        const damaged = verify ? await verifyNative(present) : null
        if (damaged === null) return present
        say(`${join(present.folder, damaged)} is damaged; building the library again`)
        await rm(present.folder, { recursive: true, force: true })
      }
      await build(tfjsNode, folder, say)
      const built = findNative()
      if (!built) throw unavailable(`the library in ${folder} is not whole; is the disk full?`)
      return built
    },
    () => say('another process is setting up TensorFlow; waiting for it'),
  )
}

async function build(tfjsNode: string, folder: string, say: (line: string) => void): Promise<void> {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw unavailable(`there is no wheel for ${process.platform}-${process.arch}`)
  const python = await findTool(['python3', 'python'], ['-m', 'pip', '--version'])
  if (python === null) throw unavailable('python3 with pip is missing; install python3-pip')
  const compiler = await findTool([process.env.CXX ?? 'g++', 'g++', 'clang++', 'c++'], ['--version'])
  if (compiler === null) throw unavailable('a C++ compiler is missing; install g++')
  const downloads = join(cacheFolder(), 'native', 'download')
  const file = await fetchWheel(python, downloads, say)
  const temporary = `${folder}.tmp`
  await rm(temporary, { recursive: true, force: true })
  await mkdir(temporary, { recursive: true })
  try {
    say('unpacking the library and compiling the addon ...')
    await run(python, ['-c', unpackScript, file, temporary, ...libraryFiles])
    await compile(compiler, tfjsNode, temporary)
    await rm(join(temporary, 'include'), { recursive: true, force: true })
    const files: NativeManifest['files'] = {}
    for (const name of [...libraryFiles, addonFile]) {
      const path = join(temporary, name)
      files[name] = { bytes: (await stat(path)).size, sha256: await sha256OfFile(path) }
    }
    writeFileAtomic(
      join(temporary, 'manifest.json'),
      `${JSON.stringify({ tensorflow: wheel.version, files } satisfies NativeManifest, null, 2)}\n`,
    )
    await rm(folder, { recursive: true, force: true })
    await rename(temporary, folder)
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    throw error
  }
  await rm(downloads, { recursive: true, force: true })
}

/** Path of the verified wheel; one that is there from an interrupted set-up is used again. */
async function fetchWheel(python: string, downloads: string, say: (line: string) => void): Promise<string> {
  await mkdir(downloads, { recursive: true })
  const verified = async (): Promise<string | null> => {
    for (const name of await readdir(downloads)) {
      if (!name.endsWith('.whl')) continue
      const path = join(downloads, name)
      if ((await sha256OfFile(path)) === wheel.sha256) return path
      await rm(path, { force: true })
    }
    return null
  }
  const present = await verified()
  if (present !== null) return present
  say(`fetching TensorFlow ${wheel.version} with pip (${wheel.megabytes} MB, once per user) ...`)
  const pip = [
    '-m',
    'pip',
    'download',
    '--quiet',
    '--disable-pip-version-check',
    '--no-deps',
    '--only-binary=:all:',
    '--implementation',
    'cp',
  ]
  await run(python, [
    ...pip,
    '--python-version',
    wheel.pythonVersion,
    '--platform',
    wheel.platform,
    '-d',
    downloads,
    wheel.requirement,
  ])
  const fetched = await verified()
  if (fetched === null)
    throw unavailable(`what pip fetched for ${wheel.requirement} has not the SHA-256 ${wheel.sha256}`)
  return fetched
}

/** A wheel is a zip; Python reads it anyway where pip is. Arguments: wheel, folder, library files. */
const unpackScript = `
import os, shutil, sys, zipfile
wheel, folder, libraries = sys.argv[1], sys.argv[2], sys.argv[3:]
headers = tuple('tensorflow/include/' + part for part in ('tensorflow/c/', 'tensorflow/core/platform/', 'tensorflow/tsl/', 'tsl/'))
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if name.startswith(headers) and not name.endswith('/'):
            archive.extract(name, os.path.join(folder, 'include'))
    for library in libraries:
        with archive.open('tensorflow/' + library) as source, open(os.path.join(folder, library), 'wb') as target:
            shutil.copyfileobj(source, target, 1 << 20)
`

async function compile(compiler: string, tfjsNode: string, folder: string): Promise<void> {
  const nodeHeaders = join(dirname(createRequire(import.meta.url).resolve('node-api-headers/package.json')), 'include')
  const headers = join(folder, 'include/tensorflow/include')
  const includes = [headers, dirname(tfjsNode), tfjsNode, join(tfjsNode, 'binding'), nodeHeaders].map(
    (path) => `-I${path}`,
  )
  const theirs = ['tfjs_backend.cc', 'tfjs_binding.cc'].map((file) => join(tfjsNode, 'binding', file))
  const sources = [...theirs, ownSource]
  const libraries = libraryFiles.map((file) => join(folder, file))
  await run(compiler, [...compileFlags, ...includes, ...sources, ...libraries, '-o', join(folder, addonFile)])
}

async function findTool(candidates: readonly string[], probe: readonly string[]): Promise<string | null> {
  for (const name of candidates) {
    try {
      await run(name, probe)
      return name
    } catch (error) {
      if (!(error instanceof RingleaderError)) throw error // not there, or it does not work: try the next
    }
  }
  return null
}

/** Runs a tool to its end; the error holds the last of what it said. It ends with this process. */
function run(command: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    const listen = (bytes: Buffer) => {
      said = (said + bytes.toString('utf8')).slice(-4000)
    }
    child.stdout.on('data', listen)
    child.stderr.on('data', listen)
    const stop = () => child.kill('SIGTERM')
    process.once('exit', stop)
    child.once('error', (error) => reject(unavailable(`${command} does not run: ${messageOf(error)}`)))
    child.once('close', (code, signal) => {
      process.removeListener('exit', stop)
      if (code === 0) return resolve()
      const lines = said.trim().split('\n')
      const errors = lines.filter((line) => /\berror\b/i.test(line))
      const last = (errors.length > 0 ? errors : lines).slice(-3).join(' | ')
      reject(unavailable(`${command} ${args[1] === 'pip' ? 'pip ' : ''}ended with ${signal ?? code}: ${last}`))
    })
  })
}

function unavailable(what: string): RingleaderError {
  return new RingleaderError('native-unavailable', what, { recoverable: true })
}
