import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Cli, hasTool, readJson } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const canBuild = hasTool('python3', '-m', 'pip', '--version') && hasTool('g++', '--version')

describe('setup without what it needs', () => {
  it('says in one line what is missing, and training goes on with wasm', async () => {
    const folder = temporaryFolder()
    const path = join(folder, 'bin')
    mkdirSync(path)
    symlinkSync(process.execPath, join(path, 'node'))
    const env = { PATH: path, RINGLEADER_CACHE: join(folder, 'cache') }
    const setup = await new Cli(['setup'], { env }).finished
    expect(setup).toMatchObject({
      code: 78,
      stderr:
        'ringleader: no native TensorFlow: python3 with pip is missing; install python3-pip. Using the wasm backend, which is 5 to 20 times slower\n',
    })
    expect((await new Cli(['setup', '--allow-missing'], { env }).finished).code).toBe(0)
    const run = join(folder, 'run')
    const train = await new Cli(['train', '--steps', '3', '--run-dir', run], { env }).finished
    expect(train.code).toBe(0)
    expect(readJson(join(run, 'summary.json'))).toMatchObject({
      status: 'completed',
      backend: expect.stringMatching(/^wasm /),
    })
  })
})

describe.skipIf(!canBuild)('setup with pip and a compiler', () => {
  it('builds once when two run at once, after one that was killed, and repairs what is damaged', async () => {
    const cache = join(temporaryFolder(), 'cache')
    const env = { RINGLEADER_CACHE: cache }
    const killed = new Cli(['setup'], { env })
    await killed.printed(/unpacking the library/)
    killed.kill('SIGKILL')
    await killed.finished
    const [first, second] = await Promise.all([
      new Cli(['setup'], { env }).finished,
      new Cli(['setup'], { env }).finished,
    ])
    expect([first.code, second.code]).toEqual([0, 0])
    const said = first.stderr + second.stderr
    expect(said).toContain('another process is setting up TensorFlow; waiting for it')
    expect(said.match(/unpacking the library/g)).toHaveLength(1)
    expect(said).not.toContain('fetching') // the wheel of the killed one was whole
    const [folder, ...others] = readdirSync(join(cache, 'native'))
    expect(others).toEqual([])
    const library = join(cache, 'native', String(folder))
    expect(readdirSync(library).sort()).toEqual([
      'libtensorflow_cc.so.2',
      'libtensorflow_framework.so.2',
      'manifest.json',
      'tfjs_binding.node',
    ])
    const addon = join(library, 'tfjs_binding.node')
    const bytes = readFileSync(addon)
    bytes[1000] = (bytes[1000] ?? 0) ^ 1
    writeFileSync(addon, bytes)
    const repaired = await new Cli(['setup'], { env }).finished
    expect(repaired.stderr).toContain('tfjs_binding.node is damaged; building the library again')
    expect(repaired.code).toBe(0)
    const offline = await new Cli(['setup'], {
      env: { ...env, PIP_INDEX_URL: 'http://127.0.0.1:1', PIP_NO_INDEX: '1' },
    }).finished
    expect(offline).toMatchObject({ code: 0, stderr: expect.stringContaining('is set up in') })
  }, 600_000)
})
