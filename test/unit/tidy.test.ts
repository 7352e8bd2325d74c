import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'
import { commands } from '../../cli/commands.ts'
import { root } from '../support/cli.ts'

const sources = ['cli', 'coordinator', 'worker', 'shared', 'test'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|mts|mjs)$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name))),
)
const read = (path: string) => readFileSync(join(root, path), 'utf8')

function tool(path: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'node_modules', path), ...args], {
    cwd: root,
    encoding: 'utf8',
  })
  expect(status, `${stdout}\n${stderr}`.slice(-4000)).toBe(0)
}

describe('the house is tidy', () => {
  it('Biome finds nothing', () => tool('@biomejs/biome/bin/biome', 'check', '.'))

  it('types hold, in the tests too', () =>
    tool('typescript/bin/tsc', '--noEmit', '-p', 'tsconfig.json', '--incremental', 'false'))

  it('types hold in what a browser runs', () => tool('typescript/bin/tsc', '-p', 'tsconfig.page.json'))

  it('imports go one way', () =>
    tool(
      'dependency-cruiser/bin/dependency-cruise.mjs',
      '--config',
      '.dependency-cruiser.cjs',
      'cli',
      'coordinator',
      'worker',
      'shared',
    ))

  it('a file holds one idea: 300 lines at most, no open ends', () => {
    expect(sources.length).toBeGreaterThan(80)
    for (const path of sources) {
      expect(read(path).split('\n').length, path).toBeLessThanOrEqual(301)
      expect(read(path), path).not.toMatch(new RegExp(['TO', 'DO|FIX', 'ME|XX', 'X'].join('')))
    }
  })

  it('clock, chance and timers stay in the shell', () => {
    const pure = [
      'coordinator/membership',
      'coordinator/schedule',
      'shared/core',
      'shared/collective',
      'worker/model',
      'worker/optimizer',
    ]
    for (const path of sources.filter((source) => pure.some((folder) => source.startsWith(folder)))) {
      if (/process-lock|core\/clock/.test(path)) continue // a lock waits; a clock is what the others are passed
      expect(read(path), path).not.toMatch(/Date\.now|Math\.random|setTimeout|setInterval|performance\.now/)
    }
  })

  it('every dependency has its line in CONTRIBUTING, and an exact version', () => {
    const { dependencies, devDependencies, optionalDependencies } = JSON.parse(read('package.json'))
    const table = read('CONTRIBUTING.md')
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })) {
      expect(version, name).toMatch(/^\d+\.\d+\.\d+$/)
      expect(table, name).toContain(`| \`${name}\` |`)
    }
  })
})

describe('docs/cli.md', () => {
  const text = read('docs/cli.md')

  it('has every command and flag, and no other', () => {
    const documented = text
      .split('\n## ')
      .slice(1)
      .map((section) => ({
        name: /^`ringleader ([\w ]+)`/.exec(section)?.[1],
        flags: [...section.matchAll(/^\| `--([\w-]+)` \|/gm)].map(([, flag]) => flag),
      }))
    expect(documented.map(({ name }) => name)).toEqual(commands.map(({ name }) => name))
    for (const { name, flags } of commands)
      expect(documented.find((section) => section.name === name)?.flags, name).toEqual(Object.keys(flags))
  })

  it('links in the docs lead somewhere', () => {
    const documents = [
      'README.md',
      'ARCHITECTURE.md',
      'CONTRIBUTING.md',
      ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.md'))
        .map((name) => `docs/${name}`),
    ]
    for (const document of documents) {
      for (const [, target] of read(document).matchAll(/\]\((?!https?:)([^)#]+)\)/g))
        expect(existsSync(join(root, document, '..', target ?? '')), `${document}: ${target}`).toBe(true)
    }
  })
})
