#!/usr/bin/env node
// What an option does to the quality of a model: trains with each of its values, evaluates, prints rows of a table.
//   node test/bench/quality.mjs --option math --values fp32,bf16 --model gan --epochs 5 [--seeds 1,2] [--workers 2] [--samples 10000]
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const text = (value) => ({ type: 'string', default: value })
const { values: options } = parseArgs({
  options: {
    option: text('math'),
    values: text('fp32,bf16'),
    model: text('vae'),
    epochs: text('5'),
    seeds: text('1,2'),
    workers: text('2'),
    samples: text('10000'),
  },
})

/** Of a summary and an evaluation; null: this model has none. */
const columns = [
  ['images/s', ({ summary }) => summary.imagesPerSecond, 0],
  ['FID', ({ figures }) => figures.samples.fid, 1],
  ['KID', ({ figures }) => figures.samples.kid, 4],
  ['recall', ({ figures }) => figures.samples.recall, 3],
  ['modes', ({ figures }) => figures.samples.modes, 0],
  ['−ELBO', ({ figures }) => figures.likelihood?.negativeElbo ?? null, 2],
]

const folder = mkdtempSync(join(tmpdir(), 'ringleader-quality-'))
try {
  print([options.option, 'seed', ...columns.map(([name]) => name)])
  print(['---', '---', ...columns.map(() => '---')])
  for (const value of options.values.split(','))
    for (const seed of options.seeds.split(',')) {
      const run = trained(value, seed)
      print([value, seed, ...columns.map(([, of, digits]) => of(run)?.toFixed(digits) ?? '')])
    }
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function trained(value, seed) {
  const { option, model, epochs, workers, samples } = options
  const runDir = join(folder, `${value}-${seed}`)
  const flags = ['--model', model, '--epochs', epochs, '--workers', workers, '--seed', seed, '--run-dir', runDir]
  const summary = ringleader('train', ...flags, `--${option}`, value)
  if (summary.status !== 'completed') throw new Error(`--${option} ${value} did not end: ${summary.reason}`)
  const newest = readdirSync(join(runDir, 'checkpoints'))
    .filter((name) => name.startsWith('step-'))
    .sort()
    .at(-1)
  const figures = ringleader(
    'evaluate',
    '--checkpoint',
    join(runDir, 'checkpoints', newest ?? ''),
    '--samples',
    samples,
  )
  return { summary, figures }
}

function ringleader(...args) {
  const program = [join(root, 'cli/ringleader.mjs'), ...args, '--json']
  const { status, stdout, stderr } = spawnSync(process.execPath, program, { encoding: 'utf8', maxBuffer: 1 << 28 })
  if (status !== 0) throw new Error(`${args.join(' ')} failed:\n${stderr}`)
  return JSON.parse(stdout)
}

function print(cells) {
  process.stdout.write(`| ${cells.join(' | ')} |\n`)
}
