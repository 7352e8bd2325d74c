import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

interface StandIn {
  readonly requirement: string
  readonly sha256: string
  readonly megabytes: number
}

/** A small set of wheels in place of TensorFlow's and NVIDIA's: what they hold is made here, pip and the linker are real. */
export interface StandIns {
  /** For pip's --find-links. */
  readonly wheels: string
  readonly set: { readonly version: string; readonly megabytes: number; readonly wheels: readonly StandIn[] }
  readonly env: Record<string, string>
}

const contents: Record<string, readonly string[]> = {
  tensorflow: ['tensorflow/include/tensorflow/c/c_api.h', 'tensorflow/python/left_out.py'],
  'nvidia-cudnn-cu12': ['nvidia/cudnn/lib/libcudnn.so.8', 'nvidia/cudnn/include/cudnn.h'],
  'nvidia-cuda-nvcc-cu12': ['nvidia/cuda_nvcc/bin/ptxas', 'nvidia/cuda_nvcc/nvvm/libdevice/libdevice.10.bc'],
  'nvidia-cuda-nvrtc-cu12': ['nvidia/cuda_nvrtc/lib/libnvrtc.so.12'],
}

export function makeStandIns(folder: string): StandIns {
  const wheels = join(folder, 'wheels')
  mkdirSync(wheels)
  const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'].map((name) => {
    const path = join(folder, name)
    execFileSync('g++', ['-shared', '-fPIC', `-Wl,-soname,${name}`, '-x', 'c++', '/dev/null', '-o', path])
    return path
  })
  const set = {
    version: '0.1',
    megabytes: 2,
    wheels: Object.entries(contents).map(([name, files]): StandIn => {
      const tag =
        name === 'tensorflow' ? 'cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64' : 'py3-none-manylinux1_x86_64'
      const path = join(wheels, `${name.replaceAll('-', '_')}-0.1-${tag}.whl`)
      execFileSync('python3', [
        '-c',
        zipScript,
        path,
        name,
        files.join(' '),
        ...(name === 'tensorflow' ? libraries : []),
      ])
      const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex')
      return { requirement: `${name}==0.1`, sha256, megabytes: 1 }
    }),
  }
  const list = join(folder, 'wheels.json')
  writeFileSync(list, JSON.stringify(set))
  const compiler = join(folder, 'compiler')
  writeFileSync(compiler, linkScript)
  chmodSync(compiler, 0o755)
  const pip = { PIP_NO_INDEX: '1', PIP_FIND_LINKS: wheels }
  const env = { ...pip, RINGLEADER_CACHE: join(folder, 'cache'), RINGLEADER_GPU_WHEELS: list, CXX: compiler }
  return { wheels, set, env }
}

/** Arguments: the wheel, its name, files with their own names in them, libraries. */
const zipScript = `
import os, sys, zipfile
path, name, files, libraries = sys.argv[1], sys.argv[2], sys.argv[3].split(), sys.argv[4:]
info = name.replace('-', '_') + '-0.1.dist-info/'
with zipfile.ZipFile(path, 'w') as wheel:
    for file in files: wheel.writestr(file, file)
    for library in libraries: wheel.write(library, 'tensorflow/' + os.path.basename(library))
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: ' + name + '\\nVersion: 0.1\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: py3-none-any\\n')
    wheel.writestr(info + 'RECORD', '')
`

/** Links what the compiler is given, without the sources, for which these wheels have no headers. */
const linkScript = `#!/bin/sh
[ "$1" = --version ] && exec g++ --version
libraries= sources=0
for argument; do
  case "$argument" in
    *.so.2) libraries="$libraries $argument" ;;
    *.cc) [ -f "$argument" ] && sources=$((sources + 1)) ;;
  esac
done
[ "$sources" = 3 ] || { echo "error: $sources sources" >&2; exit 1; }
exec g++ -shared '-Wl,-rpath,$ORIGIN' -Wl,--no-as-needed $libraries -o "$argument"
`

/** A folder with a stand-in for NVIDIA's own tool, which prints these lines, or says this and fails. */
export function standInSmi(folder: string, said: string, code = 0): string {
  const bin = join(folder, 'bin')
  mkdirSync(bin, { recursive: true })
  const path = join(bin, 'nvidia-smi')
  writeFileSync(path, `#!/bin/sh\ncat <<'END'\n${said}\nEND\nexit ${code}\n`)
  chmodSync(path, 0o755)
  return bin
}
