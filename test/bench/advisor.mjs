#!/usr/bin/env node
// The advisor beside what is then measured: one run that workers join one after the other, on this host.
//   node test/bench/advisor.mjs [--workers 4] [--seconds 10] [--threads 1] [-- --model vae --batch-size 1024]
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { printed, start, wholeLines } from './processes.mjs'

const text = (value) => ({ type: 'string', default: value })
const { values: options, positionals } = parseArgs({
  options: { workers: text('4'), seconds: text('10'), threads: text('1'), json: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const most = Number(options.workers)
const training = positionals.length > 0 ? positionals : ['--model', 'vae', '--batch-size', '1024']
/** Steps of a group that warm it up. */
const warmUp = 10

const folder = mkdtempSync(join(tmpdir(), 'ringleader-advisor-'))
const children = []
const end = () => {
  for (const child of children) child.kill('SIGKILL')
}
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => {
    end()
    process.exit(130)
  })
const rare = ['checkpoint', 'sample', 'inspect'].flatMap((what) => [`--${what}-every`, '99999'])
try {
  const bounds = ['--min-workers', '1', '--max-workers', String(most), '--bind', 'tcp://127.0.0.1:0']
  const coordinator = run(
    'coordinator',
    ...bounds,
    '--steps',
    '99999',
    ...rare,
    '--http',
    '127.0.0.1:0',
    '--run-dir',
    folder,
    ...training,
  )
  const control = await printed(coordinator, /(tcp:\/\/127\.0\.0\.1:\d+)/)
  const page = await printed(coordinator, /(http:\/\/127\.0\.0\.1:\d+)/)
  const stages = []
  for (let workers = 1; workers <= most; workers++) {
    run('worker', '--coordinator', control, '--id', `worker-${workers}`, '--threads', options.threads)
    const from = await groupOf(workers)
    const before = processorSeconds()
    await sleep(1000 * Number(options.seconds))
    const after = processorSeconds()
    const othersCores = (after.all - before.all - (after.own - before.own)) / Number(options.seconds)
    const { advice } = await (await fetch(`${page}/api/status`)).json()
    stages.push({ workers, from: from + warmUp, othersCores, advice })
  }
  const rows = stages.map(({ workers, from, othersCores, advice }, index) => {
    const until = (stages[index + 1]?.from ?? Infinity) - warmUp
    const steps = wholeLines(join(folder, 'metrics.jsonl')).filter(({ step }) => step > from && step <= until)
    return {
      workers,
      othersCores,
      steps: steps.length,
      measuredMs: 1000 * median(steps.map(({ seconds }) => seconds)),
      advice,
    }
  })
  if (options.json) process.stdout.write(`${JSON.stringify(rows)}\n`)
  else table(rows)
} finally {
  end()
  await sleep(100)
  rmSync(folder, { recursive: true, force: true })
}

function run(...args) {
  const child = start(...args)
  children.push(child)
  return child
}

/** That all processes of this machine have taken, and that ours have; Linux counts hundredths. */
function processorSeconds() {
  const [, ...busy] = readFileSync('/proc/stat', 'utf8').split('\n')[0].trim().split(/ +/).map(Number)
  const [user = 0, nice = 0, system = 0, , , interrupts = 0, soft = 0] = busy
  const own = children.reduce((sum, { pid }) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return sum + Number(fields[11]) + Number(fields[12])
  }, 0)
  return { all: (user + nice + system + interrupts + soft) / 100, own: own / 100 }
}

/** The step that a group of so many went on from, once there is one. */
async function groupOf(workers) {
  for (;;) {
    const formed = wholeLines(join(folder, 'events.jsonl')).find(
      (event) => event.kind === 'generation' && event.worldSize === workers,
    )
    if (formed) return formed.step
    await sleep(100)
  }
}

function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

/** Each forecast of a stage beside what the stage with so many workers took. */
function table(rows) {
  const cells = (...each) => process.stdout.write(`| ${each.join(' | ')} |\n`)
  cells('seen', 'workers', 'forecast ms', 'range', 'measured ms', 'off', 'cores that others took')
  cells('---', '---', '---', '---', '---', '---', '---')
  for (const { advice } of rows)
    for (const {
      workers,
      where,
      stepMs,
      lowImagesPerSecond,
      highImagesPerSecond,
      imagesPerSecond,
    } of advice?.forecasts ?? []) {
      const row = where === 'here' ? rows.find((each) => each.workers === workers) : undefined
      if (!row) continue
      const measured = row.measuredMs
      const ms = (rate) => ((stepMs * imagesPerSecond) / rate).toFixed(1)
      const range = `${ms(highImagesPerSecond)} to ${ms(lowImagesPerSecond)}`
      const off = `${Math.round(100 * (stepMs / measured - 1))} %`
      cells(
        advice.seen.map((group) => group.workers).join(', '),
        workers,
        stepMs.toFixed(1),
        range,
        measured.toFixed(1),
        off,
        row.othersCores.toFixed(2),
      )
    }
}
