#!/usr/bin/env node
// What it costs a run to be watched: in turns nobody looks, and /metrics of the coordinator and of each worker is scraped every second while a page is open.
//   node test/bench/watching.mjs [--rounds 10] [--seconds 3] [-- --model vae --workers 2]
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { printed, start } from './processes.mjs'

const text = (value) => ({ type: 'string', default: value })
const { values: options, positionals } = parseArgs({
  options: { rounds: text('10'), seconds: text('3') },
  allowPositionals: true,
})
const training = positionals.length > 0 ? positionals : ['--model', 'vae', '--workers', '2']

const folder = mkdtempSync(join(tmpdir(), 'ringleader-watching-'))
const rare = ['checkpoint', 'sample'].flatMap((what) => [`--${what}-every`, '1000000'])
const run = ['--steps', '99999', '--inspect-every', '0', ...rare, '--http', '127.0.0.1:0', '--run-dir', folder]
const child = start('train', ...run, ...training)
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => {
    child.kill('SIGKILL')
    process.exit(130)
  })
try {
  const base = await printed(child, /metrics at (http:\/\/[\d.:]+)\/metrics/)
  await printed(child, /generation 1/)
  await sleep(5000)
  /** @type {{ quiet: number, watched: number, quietMs: number, watchedMs: number }[]} */
  const pairs = []
  const coordinator = childOf(child.pid, 'coordinator-process')
  for (let round = 0; round < Number(options.rounds); round++) {
    const order = round % 2 === 0 ? ['quiet', 'watched'] : ['watched', 'quiet']
    const pair = { quiet: 0, watched: 0, quietMs: 0, watchedMs: 0 }
    for (const kind of order) {
      const { each, ms } = await rate(kind === 'watched' ? () => watch(base) : () => () => {}, coordinator)
      pair[kind] = each
      pair[`${kind}Ms`] = ms
    }
    pairs.push(pair)
  }
  const ratios = pairs.map(({ quiet, watched }) => watched / quiet).sort((a, b) => a - b)
  const at = (part) => ratios[Math.round(part * (ratios.length - 1))]
  for (const { quiet, watched, quietMs, watchedMs } of pairs) {
    const ratio = (watched / quiet).toFixed(3)
    const cost = `coordinator ${quietMs.toFixed(0)} and ${watchedMs.toFixed(0)} ms of a core in a second`
    process.stdout.write(`${quiet.toFixed(1)} and ${watched.toFixed(1)} steps/s: ${ratio}; ${cost}\n`)
  }
  const spread = `quartiles ${at(0.25).toFixed(3)} and ${at(0.75).toFixed(3)}`
  process.stdout.write(`watched by quiet: median ${at(0.5).toFixed(3)}, ${spread}, ${pairs.length} pairs\n`)
} finally {
  child.kill('SIGINT')
  await Promise.race([new Promise((resolve) => child.once('exit', resolve)), sleep(10_000)])
  child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}

/** Steps in a second while something goes on, and what the coordinator computes in one: other programs do not change that much. */
async function rate(begin, coordinator) {
  const end = begin()
  await sleep(500)
  const [from, started, before] = [step(), performance.now(), processorMs(coordinator)]
  await sleep(1000 * Number(options.seconds))
  const seconds = (performance.now() - started) / 1000
  const each = (step() - from) / seconds
  const ms = (processorMs(coordinator) - before) / seconds
  end()
  return { each, ms }
}

function childOf(pid, name) {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
  return children.find((id) => readFileSync(`/proc/${id}/cmdline`, 'utf8').includes(name))
}

/** That a process has taken so far; Linux counts hundredths of a second. */
function processorMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return 10 * (Number(fields[11]) + Number(fields[12]))
}

/** The number of the last line that is whole. */
function step() {
  const [last = '{}'] = readFileSync(join(folder, 'metrics.jsonl'), 'utf8').split('\n').slice(-2)
  return JSON.parse(last).step
}

/** As Prometheus and a page do; what a browser draws with is not this machine's. */
function watch(base) {
  const over = new AbortController()
  const { signal } = over
  const ignore = () => {}
  const scrape = async () => {
    const targets = await (await fetch(`${base}/sd/prometheus`, { signal })).json()
    const all = [`${base}/metrics`, ...targets.map(({ targets: [address] }) => `http://${address}/metrics`)]
    for (const url of all) await (await fetch(url, { signal })).text()
  }
  const follow = async () => {
    const response = await fetch(`${base}/api/runs/0/events`, { signal })
    for await (const _ of response.body ?? []);
  }
  follow().catch(ignore)
  scrape().catch(ignore)
  const timer = setInterval(() => scrape().catch(ignore), 1000)
  return () => {
    clearInterval(timer)
    over.abort()
  }
}
