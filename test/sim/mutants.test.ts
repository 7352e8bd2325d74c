import { spawn } from 'node:child_process'
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { ringleader, root } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

/** The program, broken on purpose. Each is a mistake that somebody could make, and that the simulator has to find. */
const mutants = [
  {
    name: 'skips the abort',
    file: 'worker/communicator.js',
    from: "if (message.kind === 'abort' && message.generation === this.#data.generation)",
    to: 'if (false)',
    kinds: 'stop,partition',
  },
  {
    name: 'accepts frames of a generation that is over',
    file: 'shared/collective/all-reduce.js',
    from: 'header.run !== run || header.generation !== generation',
    to: 'header.run !== run',
    kinds: 'delay,partition',
    faults: 24, // a frame has to be late by a whole generation
  },
  {
    name: 'commits before the check',
    file: 'worker/step/trainer.js',
    from: 'if (!(norm <= this.#config.maxGradientNorm)) {',
    to: 'if (false) {',
    kinds: 'nan',
  },
  {
    name: 'leaves the first network moved when the second one fails',
    file: 'worker/step/trainer.js',
    from: "this.#rollback(touched);\n            group.settle('restore');\n            throw error;",
    to: "group.settle('restore');\n            throw error;",
    kinds: 'kill,drop',
  },
  {
    name: 'does not wait for members that are out of sight',
    file: 'coordinator/membership/formation.js',
    from: 'if (now >= state.fencedUntil)',
    to: 'if (true)',
    kinds: 'partition,stop',
  },
  {
    name: 'forgets what it has committed when it is expelled',
    file: 'worker/communicator.js',
    from: 'if (message.discard)',
    to: 'if (true)',
    kinds: 'partition,drop,delay',
  },
  {
    name: 'tells nothing again to a coordinator that comes back',
    file: 'worker/communicator.js',
    from: 'for (const commits of this.#unnoted)\n            this.#send(commits);\n    }\n    #form',
    to: '}\n    #form',
    kinds: 'coordinator-kill',
  },
]

describe('the simulator finds a program that', () => {
  beforeAll(async () => {
    const { code } = await ringleader('--help') // builds what is not built yet
    expect(code).toBe(0)
  })

  it.each(mutants)('$name', async ({ file, from, to, kinds, ...more }) => {
    const folder = temporaryFolder()
    cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true })
    cpSync(join(root, 'package.json'), join(folder, 'package.json'))
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    const path = join(folder, 'dist', file)
    const text = readFileSync(path, 'utf8')
    expect(text.split(from), `${file} has the place to break once`).toHaveLength(2)
    writeFileSync(path, text.replace(from, to))
    const faults = String('faults' in more ? more.faults : 8)
    const args = ['chaos', '--simulate', '--json', '--seed', '1', '--runs', '40', '--faults', faults, '--kinds', kinds]
    const violations = await violationsOf(join(folder, 'dist/cli/main.js'), args)
    expect(violations).not.toEqual([])
  })
})

/** Of the first run that has some. */
function violationsOf(main: string, args: readonly string[]): Promise<string[]> {
  const script = `import(${JSON.stringify(main)}).then(({ main }) => main(${JSON.stringify(args)}))`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'], timeout: 100_000 })
  return new Promise((resolve, reject) => {
    let rest = ''
    child.stdout.on('data', (bytes: Buffer) => {
      const lines = (rest + bytes.toString('utf8')).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const { violations } = JSON.parse(line) as { violations: string[] }
        if (violations.length === 0) continue
        resolve(violations)
        child.kill('SIGKILL')
      }
    })
    child.on('error', reject)
    child.on('exit', () => resolve([]))
  })
}
