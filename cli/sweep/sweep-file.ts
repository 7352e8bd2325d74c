import { readFileSync } from 'node:fs'
import { parse as parseYaml } from 'yaml'
import { z } from 'zod'
import { flagOf, usage } from '../../shared/core/config.ts'
import { messageOf } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import { suggestion } from '../parse.ts'
import { runFlags } from '../run-options.ts'

const scalar = z.union([z.number(), z.string(), z.boolean()])
const rangeSchema = z.strictObject({
  from: z.number(),
  to: z.number(),
  /** Where equal parts of the range are equally likely: of the numbers, or of their logarithms. */
  scale: z.enum(['linear', 'log']).default('linear'),
  /** Whole numbers only. */
  whole: z.boolean().default(false),
})
const sweepSchema = z.strictObject({
  objective: z.string().min(1),
  goal: z.enum(['minimize', 'maximize']).optional(),
  method: z.enum(['grid', 'random']).default('grid'),
  trials: z.number().int().min(1).max(limits.sweepTrials).optional(),
  seed: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(1),
  options: z.record(z.string(), scalar).default({}),
  search: z.record(z.string(), z.union([z.array(scalar).min(1).max(limits.sweepValues), rangeSchema])),
})

export type OptionValue = z.infer<typeof scalar>
export type Range = z.infer<typeof rangeSchema>
export type Space = readonly OptionValue[] | Range

/** What a sweep tries (docs/sweep.md). Options have the names of flags, without the dashes before them. */
export interface SweepFile {
  readonly objective: string
  /** Null: what the objective's name says. */
  readonly goal: 'minimize' | 'maximize' | null
  readonly method: 'grid' | 'random'
  /** Of a random search; null for a grid. */
  readonly trials: number | null
  readonly seed: number
  /** Of every trial. */
  readonly options: Readonly<Record<string, OptionValue>>
  /** Options that differ between trials, in the order of the file. */
  readonly search: Readonly<Record<string, Space>>
}

const { 'run-dir': _, resume: __, name: ___, config: ____, 'allow-changes': _____, ...trialFlags } = runFlags

/** Reads a YAML or JSON file. Errors name the place in it and say what to write instead. */
export function readSweepFile(path: string): SweepFile {
  let value: unknown
  try {
    value = parseYaml(readFileSync(path, 'utf8')) // JSON is YAML too
  } catch (error) {
    throw usage(`${path}: ${messageOf(error).split('\n')[0]}`)
  }
  return checkedSweep(path, value)
}

export function checkedSweep(path: string, value: unknown): SweepFile {
  const result = sweepSchema.safeParse(value)
  if (!result.success) throw usage(`${path}: ${complaint(result.error, value)}`)
  const { options, search, goal, trials, ...rest } = result.data
  const sweep = {
    ...rest,
    ...{ goal: goal ?? null, trials: trials ?? null },
    options: named(path, 'options', options, (flag, each) => checkedValue(path, flag, each)),
    search: named(path, 'search', search, (flag, space) => checkedSpace(path, flag, space, rest.method)),
  }
  const searched = Object.keys(sweep.search)
  if (searched.length === 0) throw usage(`${path}: search: write at least one option with the values to try`)
  if (searched.length > limits.sweepOptions)
    throw usage(`${path}: search: ${searched.length} options; write ${limits.sweepOptions} or fewer`)
  const twice = searched.find((flag) => flag in sweep.options)
  if (twice !== undefined) throw usage(`${path}: ${twice} stands in options and in search; write it in one of them`)
  if (rest.method === 'grid' && trials !== undefined)
    throw usage(`${path}: trials: a grid has as many as its values give; leave it out, or write method: random`)
  if (rest.method === 'random' && trials === undefined)
    throw usage(`${path}: method random needs the number of its trials; write trials: 20`)
  return sweep
}

/** The same with names as flags have them, each of a flag that there is. */
function named<Given, Checked>(
  path: string,
  part: string,
  values: Readonly<Record<string, Given>>,
  check: (flag: keyof typeof trialFlags, value: Given) => Checked,
): Record<string, Checked> {
  const checked: Record<string, Checked> = {}
  for (const [key, value] of Object.entries(values)) {
    const flag = flagOf(key).slice(2).replaceAll('_', '-')
    if (!isTrialFlag(flag))
      throw usage(`${path}: ${part}: unknown option ${key}${suggestion(flag, Object.keys(trialFlags), '')}`)
    if (flag in checked) throw usage(`${path}: ${part}: ${flag} is given twice; write it once`)
    checked[flag] = check(flag, value)
  }
  return checked
}

const isTrialFlag = (flag: string): flag is keyof typeof trialFlags => Object.hasOwn(trialFlags, flag)

function checkedSpace(path: string, flag: keyof typeof trialFlags, space: Space, method: SweepFile['method']): Space {
  if (!isRange(space)) {
    const values = space.map((each) => checkedValue(path, flag, each))
    if (new Set(values).size < values.length) throw usage(`${path}: search: ${flag} has a value twice; write it once`)
    return values
  }
  const { from, to, scale, whole } = space
  if (method === 'grid') throw usage(`${path}: search: ${flag}: a grid needs a list of values; or write method: random`)
  if (trialFlags[flag].type !== 'number') throw usage(`${path}: search: ${flag} is no number; write a list of values`)
  if (!(from < to)) throw usage(`${path}: search: ${flag}: from ${from} to ${to}; write the smaller number as from`)
  if (scale === 'log' && from <= 0) throw usage(`${path}: search: ${flag}: scale log needs numbers above 0`)
  if (whole && !(Number.isInteger(from) && Number.isInteger(to)))
    throw usage(`${path}: search: ${flag}: write whole numbers as from and to`)
  return space
}

export const isRange = (space: Space): space is Range => !Array.isArray(space)

/** As the command line would have it. */
function checkedValue(path: string, flag: keyof typeof trialFlags, value: OptionValue): OptionValue {
  const { type } = trialFlags[flag]
  if (type === 'string') return String(value)
  const wanted = { number: 'a number', boolean: 'true or false' }[type]
  if (typeof value !== type) throw usage(`${path}: ${flag}: ${String(value)}; write ${wanted}`)
  return value
}

function complaint(error: z.ZodError, value: unknown): string {
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    return 'write objective, options and search, as in docs/sweep.md'
  const [issue] = error.issues
  if (issue?.code === 'unrecognized_keys')
    return `unknown ${issue.keys.join(', ')}${suggestion(issue.keys[0] ?? '', Object.keys(sweepSchema.shape), '')}`
  const place = issue?.path.join('.') || 'sweep'
  if (place in value || issue?.path.length !== 1)
    return issue?.code === 'invalid_union'
      ? `${place}: write a list of values, or from, to and scale (docs/sweep.md)`
      : `${place}: ${issue?.message.toLowerCase() ?? 'write something else'}`
  return `write ${place} as well (docs/sweep.md)`
}
