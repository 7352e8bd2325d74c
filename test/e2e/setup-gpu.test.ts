import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, readlinkSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { Cli, hasTool, root } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'
import { makeStandIns, type StandIns } from '../support/gpu-wheels.ts'

const canBuild = hasTool('python3', '-m', 'pip', '--version') && hasTool('g++', '--version')
const setup = (env: Record<string, string>, ...flags: string[]) =>
  new Cli(['setup', '--gpu', ...flags], { env }).finished

describe.skipIf(!canBuild)('setup --gpu with small wheels', () => {
  let standIns: StandIns
  let native: string
  beforeAll(() => {
    standIns = makeStandIns(temporaryFolder())
    native = join(String(standIns.env.RINGLEADER_CACHE), 'native')
  })
  const wheelsLeft = () =>
    readdirSync(native).flatMap((name) => (name.startsWith('download') ? readdirSync(join(native, name)) : []))

  it('tells what it costs, and fetches nothing unless that is agreed to', async () => {
    const { code, stderr } = await setup(standIns.env)
    expect(code).toBe(2)
    const lines = stderr.trim().split('\n')
    expect(lines).toEqual([
      `ringleader: takes the wheels of ${standIns.env.RINGLEADER_GPU_WHEELS} instead of its own, since RINGLEADER_GPU_WHEELS is set`,
      `ringleader: setup --gpu fetches 4 MB and keeps 2 MB in ${native}; write --yes to agree`,
    ])
    expect(wheelsLeft()).toEqual([])
  })

  it('asks at a terminal', async () => {
    const { code, said } = await atTerminal(standIns.env, 'no\n')
    expect(said).toContain(`setup --gpu fetches 4 MB and keeps 2 MB in ${native}. Go on? [y/N]`)
    expect(said).toContain('ringleader: nothing was fetched')
    expect(code).toBe(1)
    expect(wheelsLeft()).toEqual([])
  })

  it('goes on with the wheels that came whole, and keeps what it needs of them as they lie', async () => {
    const [last = ''] = readdirSync(standIns.wheels).filter((name) => name.includes('nvrtc'))
    renameSync(join(standIns.wheels, last), join(standIns.wheels, '../aside'))
    const broken = await setup(standIns.env, '--yes')
    expect(broken.code).toBe(78)
    expect(broken.stderr).toMatch(/fetching nvidia-cuda-nvrtc-cu12 with pip \(1 MB, once per user, 4 of 4\)/)
    expect(broken.stderr).toMatch(/no TensorFlow for GPUs: python3 pip ended with 1: .*nvidia-cuda-nvrtc-cu12==0\.1/)
    expect(wheelsLeft()).toHaveLength(3)
    renameSync(join(standIns.wheels, '../aside'), join(standIns.wheels, last))

    const whole = await setup(standIns.env, '--yes')
    expect(whole.stderr.match(/fetching/g)).toHaveLength(1)
    expect(whole.stderr).toContain('setup --gpu fetches 1 MB and keeps 2 MB')
    expect(whole.code).toBe(0)
    const [name = '', ...others] = readdirSync(native)
    expect(others).toEqual([])
    const folder = join(native, name)
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    const expected = [
      'manifest.json',
      'nvidia/cuda_nvcc/bin/ptxas',
      'nvidia/cuda_nvcc/nvvm/libdevice/libdevice.10.bc',
      'nvidia/cuda_nvrtc/lib/libnvrtc.so.12',
      'nvidia/cudnn/lib/libcudnn.so.8',
      'nvidia/nvrtc',
      'tensorflow/libtensorflow_cc.so.2',
      'tensorflow/libtensorflow_framework.so.2',
      'tensorflow/tfjs_binding.node',
    ]
    expect(
      files.filter((file) => !statSync(join(folder, file)).isDirectory() || file.endsWith('/nvrtc')).sort(),
    ).toEqual(expect.arrayContaining(expected))
    expect(files.some((file) => /include|left_out|unpacked/.test(file))).toBe(false)
    expect(readlinkSync(join(folder, 'nvidia/nvrtc'))).toBe('cuda_nvrtc')
    expect(statSync(join(folder, 'nvidia/cuda_nvcc/bin/ptxas')).mode & 0o111).toBe(0o111)
    const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as { files: object }
    expect(Object.keys(manifest.files)).toEqual(expected.filter((file) => !/manifest|\/nvrtc$/.test(file)))
  })

  it('verifies what stands without asking, and builds it again where it is damaged', async () => {
    expect(await setup({ ...standIns.env, PIP_FIND_LINKS: '/nowhere' })).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('TensorFlow 0.1 is set up in'),
    })
    const [name = ''] = readdirSync(native)
    writeFileSync(join(native, name, 'nvidia/cudnn/lib/libcudnn.so.8'), 'nvidia/cudnn/lib/libcudnn.so.9')
    const repaired = await setup(standIns.env, '--yes')
    expect(repaired.stderr).toContain('libcudnn.so.8 is damaged; building the library again')
    expect(repaired.code).toBe(0)
  })

  it('does not take what other wheels gave for its own', async () => {
    const { code, stderr } = await setup({ ...standIns.env, RINGLEADER_GPU_WHEELS: '' })
    expect(code).toBe(2)
    expect(stderr).toMatch(
      /^ringleader: setup --gpu fetches 2\d{3} MB and keeps 3\d{3} MB in .*; write --yes to agree\n$/,
    )
  })

  it.each([
    [
      'a wheel of other bytes',
      { wheels: [{ sha256: 'a'.repeat(64) }] },
      78,
      /what pip fetched for tensorflow==0\.1 has not the SHA-256 aaaa/,
    ],
    [
      'no room',
      { megabytes: 1e9, wheels: [{ sha256: 'b'.repeat(64) }] },
      78,
      /free, 1000000004 MB are needed; RINGLEADER_CACHE names another place/,
    ],
    [
      'a list of wheels that is none',
      { wheels: [{ sha256: 'x' }] },
      2,
      /RINGLEADER_GPU_WHEELS=\S+ is no list of wheels .*unset it/,
    ],
  ])('says what is wrong with %s', async (_, wrong, code, message) => {
    const list = join(temporaryFolder(), 'wheels.json')
    const { set, env } = standIns
    const wheels = set.wheels.map((wheel, index) => ({ ...wheel, ...(wrong as { wheels?: object[] }).wheels?.[index] }))
    writeFileSync(list, JSON.stringify({ ...set, ...wrong, wheels }))
    const failed = await setup({ ...env, RINGLEADER_GPU_WHEELS: list }, '--yes')
    expect(failed).toMatchObject({ code, stderr: expect.stringMatching(message) })
    expect(existsSync(native) && readdirSync(native).filter((name) => !name.startsWith('download'))).toHaveLength(1)
  })
})

/** The command at a terminal of its own, where somebody types. */
async function atTerminal(env: Record<string, string>, typed: string): Promise<{ code: number | null; said: string }> {
  const script = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))'
  const command = [process.execPath, join(root, 'cli/ringleader.mjs'), 'setup', '--gpu']
  const child = spawn('python3', ['-c', script, ...command], {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let said = ''
  let asked = false
  child.stdout.on('data', (bytes: Buffer) => {
    said += bytes.toString('utf8')
    if (!asked && said.includes('[y/N]')) child.stdin.write(typed)
    asked = said.includes('[y/N]')
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, said }
}
