#!/usr/bin/env node
// Compiles kernels (AssemblyScript → wasm) and TypeScript → dist. Plain JavaScript, since nothing is compiled yet.
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const stamp = join(root, 'dist/.built')
const kernelFlags = [
  ...['-O3', '--noAssert', '--runtime', 'stub', '--importMemory', '--sharedMemory'],
  ...['--initialMemory', '16', '--maximumMemory', '65536', '--enable', 'simd', '--enable', 'threads'],
]

/** Compiles where a source is newer than the last build. Throws with the compiler's output. */
export function build() {
  if (isCurrent()) return false
  const begun = new Date() // a source that changes during the build is newer than it
  mkdirSync(join(root, 'dist/shared/kernel'), { recursive: true })
  const wasm = join(root, 'dist/shared/kernel/kernel.wasm')
  run('assemblyscript/bin/asc.js', ['shared/kernel/assembly/index.ts', '-o', `${wasm}.tmp`, ...kernelFlags])
  renameSync(`${wasm}.tmp`, wasm)
  run('typescript/bin/tsc', ['-p', 'tsconfig.build.json'])
  mkdirSync(join(root, 'dist/shared/core'), { recursive: true })
  mkdirSync(join(root, 'dist', 'worker/backend/native'), { recursive: true })
  const native = 'worker/backend/native'
  const sources = readdirSync(join(root, native)).filter((file) => /\.(cc|h)$/.test(file))
  const asTheyAre = ['shared/core/process-lock.mjs', 'worker/evaluate/mnist-classifier.safetensors']
  for (const path of [...sources.map((file) => join(native, file)), ...asTheyAre])
    copyFileSync(join(root, path), join(root, 'dist', path))
  cpSync(join(root, 'coordinator/page'), join(root, 'dist/coordinator/page'), { recursive: true })
  writeFileSync(stamp, '')
  utimesSync(stamp, begun, begun)
  return true
}

function run(tool, args) {
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [join(root, 'node_modules', tool), ...args], {
    cwd: root,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${tool} failed:\n${error?.message ?? ''}${stdout}${stderr}`)
}

function isCurrent() {
  if (!existsSync(stamp)) return false
  const built = statSync(stamp).mtimeMs
  const sources = ['cli', 'coordinator', 'worker', 'shared'].flatMap((folder) => files(join(root, folder)))
  return [...sources, join(root, 'tsconfig.json'), join(root, 'tsconfig.build.json')].every(
    (path) => statSync(path).mtimeMs <= built,
  )
}

function files(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|mjs|cc|h|html|css|svg|safetensors)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    build()
  } catch (error) {
    process.stderr.write(`${error.message}\n`)
    process.exitCode = 1
  }
}
