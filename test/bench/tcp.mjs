#!/usr/bin/env node
// All-reduce between two network namespaces, over a link of its own, in turns with PyTorch's gloo over the same link.
// As root: node test/bench/tcp.mjs [--rate 10gbit] [--python PATH] [flags of `ringleader bench allreduce`]
// Without --python there is no peer.
import { execFileSync, spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const launcher = join(here, '../../cli/ringleader.mjs')
const sizes = [4096, 65_536, 1 << 20, 4 << 20, 16 << 20, 44 << 20].join()

const flags = process.argv.slice(2)
const rate = taken('--rate')
const python = taken('--python')
const names = [`rlb${process.pid % 60_000}a`, `rlb${process.pid % 60_000}b`]
const addresses = ['10.199.7.1', '10.199.7.2']
const meeting = `tcp://${addresses[0]}:7127`

try {
  openLink()
  const worker = on(1, [process.execPath, launcher, 'bench', 'worker', '--coordinator', meeting], ['--bind', data(1)])
  const bench = [process.execPath, launcher, 'bench', 'allreduce', '--bind', meeting, '--remote', '1', '--wire', 'tcp']
  const peer = python === null ? [] : ['--peer', `${gloo(1)} & ${gloo(0)}; wait`]
  process.exitCode = await on(0, bench, [...(flags.includes('--sizes') ? [] : ['--sizes', sizes]), ...peer, ...flags])
    .ended
  worker.child.kill('SIGTERM')
  await worker.ended
} finally {
  for (const name of names) execFileSync('ip', ['netns', 'del', name])
}

function taken(flag) {
  const at = flags.indexOf(flag)
  return at < 0 ? null : (flags.splice(at, 2)[1] ?? null)
}

function openLink() {
  for (const name of names) ip('netns', 'add', name)
  const [first, second] = names
  ip('link', 'add', `${first}v`, 'netns', first, 'type', 'veth', 'peer', 'name', `${second}v`, 'netns', second)
  for (const [index, name] of names.entries()) {
    ip('-n', name, 'addr', 'add', `${addresses[index]}/24`, 'dev', `${name}v`)
    ip('-n', name, 'link', 'set', `${name}v`, 'up')
    ip('-n', name, 'link', 'set', 'lo', 'up')
    // A token bucket has to hold a packet of 64 KiB, and what comes between two ticks of the clock.
    const bucket = ['root', 'tbf', 'rate', rate ?? '', 'burst', '1mb', 'latency', '20ms']
    if (rate !== null) execFileSync('tc', ['-n', name, 'qdisc', 'add', 'dev', `${name}v`, ...bucket])
  }
}

function ip(...words) {
  execFileSync('ip', words)
}

function data(index) {
  return `tcp://${addresses[index]}:0`
}

/** One rank of the peer, in a shell. */
function gloo(index) {
  const environment = `GLOO_SOCKET_IFNAME=${names[index]}v MASTER_ADDR=${addresses[0]}`
  const all = flags.includes('--sizes') ? '' : ` --sizes ${sizes}`
  return `ip netns exec ${names[index]} env ${environment} ${python} ${join(here, 'gloo.py')} --rank ${index}${all}`
}

function on(index, command, more) {
  const child = spawn('ip', ['netns', 'exec', names[index], ...command, ...more], { stdio: 'inherit' })
  return { child, ended: new Promise((resolve) => child.once('close', (code) => resolve(code ?? 1))) }
}
