import { execFileSync } from 'node:child_process'
import { linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { loadProblem } from '../../worker/backend/cuda/open-cuda.ts'
import { findNative } from '../../worker/backend/native/native-cache.ts'
import { available, Cli, hasTool, ringleader } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'
import { makeStandIns, standInSmi } from '../support/gpu-wheels.ts'

const cpu = findNative()
const canBuild = hasTool('python3', '-m', 'pip', '--version') && hasTool('g++', '--version')
const possible = canBuild && available(cpu !== null, 'native TensorFlow')
const card = (more: { name?: string; driver?: string; capability?: string } = {}, index = 0) =>
  `${index}, ${more.name ?? 'NVIDIA A100'}, 40960, ${more.driver ?? '535.104.05'}, GPU-${index}f, ${more.capability ?? '8.0'}`

it('a card is not computed on before its library is set up', async () => {
  const env = { RINGLEADER_CACHE: temporaryFolder() }
  const missing =
    "TensorFlow's library for NVIDIA's cards is not set up; run `ringleader setup --gpu`, or write --backend tensorflow"
  const flags = ['--device', 'cuda:0']
  const train = await new Cli(['train', '--steps', '1', ...flags], { env }).finished
  expect(train).toMatchObject({ code: 78, stderr: `ringleader: ${missing}\n` })
  const worker = await new Cli(['worker', ...flags], { env }).finished
  expect(worker).toMatchObject({ code: 78, stderr: expect.stringContaining(missing) })
})

it('devices lists the cards of NVIDIA, and says what lets a worker compute on them', async () => {
  const bin = standInSmi(temporaryFolder(), [card(), card({ name: 'NVIDIA H100', capability: '9.0' }, 1)].join('\n'))
  const env = { RINGLEADER_CACHE: temporaryFolder(), PATH: `${bin}:${process.env.PATH}` }
  const { code, stdout } = await new Cli(['devices'], { env }).finished
  expect(code).toBe(0)
  expect(stdout).toContain('NVIDIA 1: NVIDIA H100, 40960 MiB, driver 535.104.05\n')
  expect(stdout).toContain("`ringleader setup --gpu` lets TensorFlow's own kernels compute on NVIDIA's cards")
  expect(stdout).not.toContain('cuda:')
})

describe.skipIf(!possible)("TensorFlow's real library with nothing of CUDA's behind it", () => {
  let env: Record<string, string>
  let cuda: string

  beforeAll(async () => {
    const standIns = makeStandIns(temporaryFolder())
    env = standIns.env
    const setup = await new Cli(['setup', '--gpu', '--yes'], { env }).finished
    const [, folder = ''] = /is set up in (\S+)/.exec(setup.stderr) ?? []
    putInPlace(folder, cpu?.folder ?? '')
    cuda = join(folder, 'nvidia')
  })

  const worker = (smi: string, flags: readonly string[] = [], more: Record<string, string> = {}) =>
    new Cli(['worker', '--backend', 'tensorflow-gpu', ...flags], {
      env: { ...env, PATH: `${smi}:${process.env.PATH}`, ...more },
    }).finished
  const smi = (said: string, code = 0) => standInSmi(temporaryFolder(), said, code)

  it.each([
    [
      'no driver',
      "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
      9,
      /finds no NVIDIA driver \(nvidia-smi says: NVIDIA-SMI has failed/,
    ],
    [
      'an old driver',
      card({ driver: '470.57.02' }),
      0,
      /NVIDIA's driver 470\.57\.02 is too old for NVIDIA A100; install 525\.60\.13 or newer/,
    ],
    [
      'an old card',
      card({ name: 'Tesla K80', capability: '3.7' }),
      0,
      /Tesla K80 has compute capability 3\.7, .* 5\.0 and higher/,
    ],
  ])('says what is wrong with %s', async (_, said, code, message) => {
    expect(await worker(smi(said, code))).toMatchObject({ code: 78, stderr: expect.stringMatching(message) })
  })

  it('says which cards there are where that number is none', async () => {
    const cards = [card(), card({}, 1)].join('\n')
    const far = await worker(smi(cards), ['--device', 'cuda:2'])
    expect(far).toMatchObject({
      code: 78,
      stderr: expect.stringContaining('there is no cuda:2 for this process, but cuda:0 to cuda:1;'),
    })
    const hidden = await worker(smi(cards), ['--device', 'cuda:1'], { CUDA_VISIBLE_DEVICES: '1' })
    expect(hidden.stderr).toContain('no cuda:1 for this process, but cuda:0, since CUDA_VISIBLE_DEVICES is "1"')
  })

  it.runIf(loadProblem('libcuda.so.1'))(
    'says which library is missing where TensorFlow would compute on the CPU',
    async () => {
      const good = smi(card())
      expect(await worker(good)).toMatchObject({
        code: 78,
        stderr: expect.stringMatching(/the compute part of NVIDIA's driver is missing \(libcuda\.so\.1: cannot open/),
      })
      const driver = temporaryFolder()
      makeLibrary(join(driver, 'libcuda.so.1'))
      const more = { LD_LIBRARY_PATH: driver }
      const incomplete = await worker(good, [], more)
      expect(incomplete.stderr).toMatch(
        /a library of CUDA's does not load \(\S+nvidia\/cuda_runtime\/lib\/libcudart\.so\.12: cannot open/,
      )
      for (const library of [
        'cuda_runtime/lib/libcudart.so.12',
        'cublas/lib/libcublasLt.so.12',
        'cublas/lib/libcublas.so.12',
        'cufft/lib/libcufft.so.11',
        'nvjitlink/lib/libnvJitLink.so.12',
        'cusparse/lib/libcusparse.so.12',
        'cusolver/lib/libcusolver.so.11',
      ])
        makeLibrary(join(cuda, library))
      const damaged = await worker(good, [], more)
      expect(damaged.stderr).toMatch(
        /a library of CUDA's does not load \(\S+libcudnn\.so\.8: (file too short|invalid ELF header)/,
      )
      makeLibrary(join(cuda, 'cudnn/lib/libcudnn.so.8'))
      expect(await worker(good, [], more)).toMatchObject({
        code: 78,
        stderr: expect.stringContaining(
          'TensorFlow does not take NVIDIA A100; TF_CPP_MIN_LOG_LEVEL=0 in the environment',
        ),
      })
    },
  )

  it('devices lists what a worker can compute on, by the number that --device takes', async () => {
    const bin = smi(
      [card(), card({ name: 'Tesla K80', capability: '3.7' }, 1), card({ name: 'NVIDIA L4' }, 2)].join('\n'),
    )
    const { stdout } = await new Cli(['devices', '--json'], { env: { ...env, PATH: `${bin}:${process.env.PATH}` } })
      .finished
    const { devices, notes } = JSON.parse(stdout) as { devices: { backend: string }[]; notes: string[] }
    expect(devices.filter(({ backend }) => backend === 'tensorflow-gpu')).toEqual([
      { device: 'cuda:0', name: 'NVIDIA A100', backend: 'tensorflow-gpu', software: false },
      { device: 'cuda:2', name: 'NVIDIA L4', backend: 'tensorflow-gpu', software: false },
    ])
    expect(notes).toContainEqual(expect.stringMatching(/^Tesla K80 has compute capability 3\.7/))
  })
})

it('--device and --backend have to agree', async () => {
  expect(await ringleader('worker', '--backend', 'webgpu', '--device', 'cuda:0')).toMatchObject({
    code: 2,
    stderr: 'ringleader: --device cuda:0 and --backend webgpu are two things; write --backend tensorflow-gpu\n',
  })
})

/** The CPU's library and addon in place of the stand-ins, and a manifest that says so. */
function putInPlace(folder: string, real: string): void {
  const path = join(folder, 'manifest.json')
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as { files: Record<string, { bytes: number }> }
  for (const name of ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2', 'tfjs_binding.node']) {
    const file = join('tensorflow', name)
    const entry = manifest.files[file]
    rmSync(join(folder, file))
    linkSync(join(real, name), join(folder, file))
    if (entry) entry.bytes = statSync(join(folder, file)).size
  }
  delete manifest.files['nvidia/cudnn/lib/libcudnn.so.8'] // the tests change it
  writeFileSync(path, JSON.stringify(manifest))
}

function makeLibrary(path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  execFileSync('g++', ['-shared', '-fPIC', '-x', 'c++', '/dev/null', '-o', path])
}
