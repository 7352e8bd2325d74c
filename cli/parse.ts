import { readFileSync } from 'node:fs'
import { parse as parseYaml } from 'yaml'
import type { Argv, CommandModule, Options } from 'yargs'
import { flagOf, usage } from '../shared/core/config.ts'
import { messageOf } from '../shared/core/errors.ts'
import { withModelFile } from './model-file.ts'

/** A command: its flags as data, so that environment, config file, help and docs agree with them. */
export interface Command {
  /** One word; or two, where several commands stand together, such as `bench step`. */
  readonly name: string
  readonly summary: string
  readonly example: string
  readonly flags: Readonly<Record<string, Options>>
  /** Arguments behind the name, any number of them. */
  readonly positional?: { readonly name: string; readonly describe: string }
  /** Returns the exit code. */
  run(parsed: Readonly<Record<string, unknown>>): Promise<number>
}

/** Adds a command to yargs; `done` gets its exit code. */
export function commandModule(command: Command, args: readonly string[], done: (code: number) => void): CommandModule {
  const { positional } = command
  return {
    command: [command.name.split(' ').at(-1), ...(positional ? [`[${positional.name}..]`] : [])].join(' '),
    describe: command.summary,
    builder: (yargs: Argv) => {
      const options = Object.fromEntries(
        Object.entries(command.flags).map(([flag, option]) => [flag, strict(flag, option)]),
      )
      if (positional) yargs.positional(positional.name, { type: 'string', describe: positional.describe })
      return yargs
        .options(options)
        .config(outerValues(command, args))
        .example(command.example, '')
        .check((parsed) => refuseUnknown(command, parsed))
    },
    handler: async (parsed) => done(await command.run(await withModelFile(parsed))),
  }
}

/** Numbers that are none, and a flag given twice, are refused with the flag's name. */
function strict(flag: string, option: Options): Options {
  if (option.type === 'boolean') return option
  const coerce = (value: unknown): unknown => {
    if (Array.isArray(value)) throw usage(`--${flag} is given twice; write it once`)
    if (option.type === 'number' && value !== undefined && !Number.isFinite(value))
      throw usage(`--${flag}: write a number`)
    return value
  }
  return { ...option, requiresArg: true, coerce }
}

/** Values from the config file and, above them, from RINGLEADER_… variables. */
function outerValues(command: Command, args: readonly string[]): Record<string, unknown> {
  const environment: Record<string, unknown> = {}
  for (const flag of Object.keys(command.flags)) {
    const value = process.env[`RINGLEADER_${flag.toUpperCase().replaceAll('-', '_')}`]
    if (value !== undefined && value !== '')
      environment[flag] = command.flags[flag]?.type === 'boolean' ? value !== '0' && value !== 'false' : value
  }
  if (!('config' in command.flags)) return environment
  const position = args.findIndex((argument) => argument === '--config' || argument.startsWith('--config='))
  const path =
    position < 0
      ? environment.config
      : args[position]?.includes('=')
        ? args[position]?.slice('--config='.length)
        : args[position + 1]
  return { ...(typeof path === 'string' ? readConfigFile(path, command) : {}), ...environment }
}

function readConfigFile(path: string, command: Command): Record<string, unknown> {
  let value: unknown
  try {
    value = parseYaml(readFileSync(path, 'utf8')) // JSON is YAML too
  } catch (error) {
    throw usage(`--config ${path}: ${messageOf(error).split('\n')[0]}`)
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw usage(`--config ${path}: write one option per line, such as "epochs: 5"`)
  const values: Record<string, unknown> = {}
  for (const [key, entry] of Object.entries(value)) {
    const flag = flagOf(key).slice(2).replaceAll('_', '-')
    if (!(flag in command.flags))
      throw usage(`--config ${path}: unknown option ${key}${suggestion(flag, Object.keys(command.flags), '')}`)
    values[flag] = entry
  }
  return values
}

function refuseUnknown(command: Command, parsed: Readonly<Record<string, unknown>>): boolean {
  const flags = Object.keys(command.flags)
  const known = new Set([
    '_',
    '$0',
    'help',
    'version',
    command.positional?.name ?? '_',
    ...flags,
    ...flags.map((flag) => flag.replace(/-./g, (pair) => pair.charAt(1).toUpperCase())),
  ])
  const unknown = Object.keys(parsed).find((key) => !known.has(key))
  if (unknown !== undefined) {
    const flag = unknown.length === 1 ? `-${unknown}` : flagOf(unknown)
    throw usage(
      `unknown flag ${flag}${suggestion(unknown, flags, '--')}; \`ringleader ${command.name} --help\` lists all`,
    )
  }
  const extra = (parsed._ as unknown[])[command.name.split(' ').length]
  if (extra !== undefined) throw usage(`unexpected argument ${String(extra)}; options are written as --name VALUE`)
  return true
}

/** ", did you mean …?" where one of the names is near. */
export function suggestion(word: string, names: readonly string[], prefix: string): string {
  const [nearest] = names
    .map((name) => ({ name, distance: editDistance(word.toLowerCase(), name.replaceAll('-', '')) }))
    .sort((a, b) => a.distance - b.distance)
  return nearest && nearest.distance <= Math.max(2, word.length / 3) ? `; did you mean ${prefix}${nearest.name}?` : ''
}

/** Levenshtein 1966, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(
        Math.min((next[j - 1] ?? 0) + 1, (row[j] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)),
      )
    }
    row = next
  }
  return row[b.length] ?? 0
}
