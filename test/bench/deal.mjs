#!/usr/bin/env node
// What dealing lanes by speed brings a group of unequal workers: runs in turns with --deal even and --deal speed, and the ratio of their throughput.
//   node test/bench/deal.mjs [--backends tensorflow,wasm] [--rounds 5] [--seconds 8] [--settle 30] [-- --model vae --batch-size 512 --lanes 32]
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { printed, start, wholeLines } from './processes.mjs'

const text = (value) => ({ type: 'string', default: value })
const { values: options, positionals } = parseArgs({
  options: { backends: text('tensorflow,wasm'), rounds: text('5'), seconds: text('8'), settle: text('30') },
  allowPositionals: true,
})
const backends = options.backends.split(',')
const training = positionals.length > 0 ? positionals : ['--model', 'vae', '--batch-size', '512', '--lanes', '32']
const running = new Set()
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => {
    for (const child of running) child.kill('SIGKILL')
    process.exit(130)
  })

const ratios = []
for (let round = 0; round < Number(options.rounds); round++) {
  const rates = {}
  for (const deal of round % 2 === 0 ? ['even', 'speed'] : ['speed', 'even']) rates[deal] = await rate(deal)
  const { even, speed } = rates
  ratios.push(speed.images / even.images)
  const shown = `even ${even.images.toFixed(0)} images/s, by speed ${speed.images.toFixed(0)} (lanes ${speed.lanes.join(' and ')})`
  process.stdout.write(`${shown}: ${(speed.images / even.images).toFixed(2)}\n`)
}
const sorted = ratios.sort((a, b) => a - b)
const [low, median, high] = [0, 0.5, 1].map((part) => sorted[Math.floor(part * (sorted.length - 1))]?.toFixed(2))
const of = `${backends.join(' and ')}, ${training.join(' ')}`
process.stdout.write(`by speed to even: min ${low}, median ${median}, max ${high}; ${of}\n`)

/** Images in a second of one run, after the deal has settled, and the lanes of each worker at the end. */
async function rate(deal) {
  const folder = mkdtempSync(join(tmpdir(), 'ringleader-deal-'))
  const rare = ['checkpoint', 'sample'].flatMap((what) => [`--${what}-every`, '1000000'])
  const own = ['--inspect-every', '0', '--steps', '1000000', '--min-workers', String(backends.length)]
  const at = ['--bind', 'tcp://127.0.0.1:0', '--http', '127.0.0.1:0', '--run-dir', folder]
  const coordinator = run('coordinator', '--deal', deal, ...training, ...rare, ...own, ...at)
  try {
    const address = await printed(coordinator, /waiting for \d+ workers at (tcp:\S+)/)
    for (const backend of backends)
      run('worker', '--coordinator', address, '--id', backend, '--backend', backend, '--threads', '1')
    await printed(coordinator, /generation 1:/)
    await sleep(1000 * Number(options.settle))
    const [from, begin] = [committed(folder), performance.now()]
    await sleep(1000 * Number(options.seconds))
    const [until, end] = [committed(folder), performance.now()]
    const events = wholeLines(join(folder, 'events.jsonl')).filter(({ kind }) => kind === 'generation')
    return { images: (until - from) / ((end - begin) / 1000), lanes: events.at(-1)?.lanes ?? [] }
  } finally {
    for (const child of running) child.kill('SIGKILL')
    await Promise.all([...running].map((child) => new Promise((resolve) => child.once('exit', resolve))))
    rmSync(folder, { recursive: true, force: true })
  }
}

function run(...args) {
  const child = start(...args)
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** Images of all steps so far. */
function committed(folder) {
  return wholeLines(join(folder, 'metrics.jsonl')).reduce((sum, { images }) => sum + images, 0)
}
