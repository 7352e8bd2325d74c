import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { Cli, childrenOf, patience, ringleader } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const objects = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** A command that prints these JSON lines, between others. */
function peerThatPrints(...lines: readonly object[]): string {
  const path = join(temporaryFolder(), 'peer.txt')
  writeFileSync(path, ['warming up', ...lines.map((line) => JSON.stringify(line)), 'done'].join('\n'))
  return `cat ${path}`
}

const quick = ['--sizes', '4,64K', '--iterations', '5']

describe('bench allreduce', () => {
  it('measures every size on every number of workers, and draws it', async () => {
    const plot = join(temporaryFolder(), 'plot.svg')
    const flags = ['--workers', '2,3', '--sizes', '4,4096,1M', '--iterations', '5', '--json', '--plot', plot]
    const { code, stdout, stderr } = await ringleader('bench', 'allreduce', ...flags)
    expect(stderr).toBe('')
    expect(code).toBe(0)
    const lines = objects(stdout)
    expect(lines.map(({ worldSize, bytes }) => [worldSize, bytes])).toEqual(
      [2, 3].flatMap((workers) => [4, 4096, 1 << 20].map((bytes) => [workers, bytes])),
    )
    for (const line of lines) {
      expect(line).toMatchObject({ algorithm: 'auto', wire: 'auto', by: 'main', iterations: 5 })
      expect(line.minMs).toBeGreaterThan(0)
      expect(line.medianMs).toBeGreaterThanOrEqual(line.minMs)
      expect(line.p99Ms).toBeGreaterThanOrEqual(line.medianMs)
      const algbw = line.bytes / line.medianMs / 1e6
      expect(line.algbwGBps / algbw).toBeCloseTo(1, 2)
      expect(line.busbwGBps / ((algbw * 2 * (line.worldSize - 1)) / line.worldSize)).toBeCloseTo(1, 2)
    }
    expect(readFileSync(plot, 'utf8').match(/<polyline/g)).toHaveLength(2)
  })

  it('leaves it to the communication threads where the wire or the algorithm asks for that', async () => {
    for (const flags of [
      ['--wire', 'tcp'],
      ['--algorithm', 'tree'],
    ]) {
      const { stdout } = await ringleader('bench', 'allreduce', ...quick, ...flags, '--json')
      for (const line of objects(stdout)) expect(line.by).toBe('communication')
    }
  })

  it('compares with another program, the one and the other first in turn', async () => {
    const peer = peerThatPrints(
      { peer: 'fake', worldSize: 2, bytes: 65_536, medianMs: 1000 },
      { peer: 'fake', worldSize: 2, bytes: 1, medianMs: 1 },
    )
    const flags = [...quick, '--rounds', '2', '--peer', peer]
    const { code, stdout } = await ringleader('bench', 'allreduce', ...flags, '--json')
    expect(code).toBe(0)
    const [size, ...others] = objects(stdout)
    expect(others).toEqual([])
    expect(size).toMatchObject({ worldSize: 2, bytes: 65_536, peer: 'fake', peerMedianMs: 1000 })
    expect(size.rounds.map(({ first }: { first: string }) => first)).toEqual(['ours', 'peer'])
    for (const { oursMs, ratio } of size.rounds) expect(ratio / (1000 / oursMs)).toBeCloseTo(1, 2)
    expect(size.ratio.min).toBeLessThanOrEqual(size.ratio.median)
    expect(size.ratio.median).toBeLessThanOrEqual(size.ratio.max)
  })

  it.each([
    ['echo no torch here >&2; exit 3', [], /the peer ended with exit code 3: no torch here$/],
    ['echo hello', [], /the peer printed no JSON line/],
    ['sleep 60', ['--peer-timeout', '1'], /the peer did not end within 1 s and was stopped/],
    [`echo '{"bytes":4096,"medianMs":1}'`, [], /the peer measured none of the sizes 4,64K/],
    [`echo '{"bytes":4,"medianMs":1,"worldSize":8}'`, [], /worldSize of 8, not 2; write --workers 8/],
  ])('tells in one line that a peer is of no use: %s', async (peer, more, message) => {
    const flags = [...quick, '--rounds', '1', '--peer', peer, ...more]
    const { code, stdout, stderr } = await ringleader('bench', 'allreduce', ...flags)
    const [round, line, ...others] = stderr.trim().split('\n')
    expect(round).toBe('ringleader: round 1 of 1: ours, then peer')
    expect(line).toMatch(message)
    expect(others).toEqual([])
    expect(stdout).toBe('')
    expect(code).toBe(1)
  })

  it('runs a peer once more that breaks down after it has told figures', async () => {
    const mark = join(temporaryFolder(), 'ran')
    const peer = `echo '{"bytes":4,"medianMs":1}'; test -e ${mark} || { touch ${mark}; echo torn >&2; exit 1; }`
    const { code, stdout, stderr } = await ringleader('bench', 'allreduce', ...quick, '--rounds', '1', '--peer', peer)
    expect(stderr).toMatch(/the peer ended with exit code 1: torn; it had told figures, so it is run once more/)
    expect(stdout).toMatch(/against peer; ratio of speed/)
    expect(code).toBe(0)
  })

  it('measures with workers that join from other hosts, one group after the other', async () => {
    const meeting = `tcp://127.0.0.1:${await freePort()}`
    const joins = ['--coordinator', meeting, '--bind', 'tcp://127.0.0.2:0']
    const joined = new Cli(['bench', 'worker', ...joins])
    const flags = ['--workers', '2,3', '--bind', meeting, '--remote', '1', '--wire', 'tcp', '--sizes', '4,3M', '--json']
    const { code, stdout, stderr } = await ringleader('bench', 'allreduce', ...flags, '--iterations', '4')
    expect(stderr).toBe('')
    expect(code).toBe(0)
    expect(objects(stdout).map(({ worldSize, bytes }) => [worldSize, bytes])).toEqual(
      [2, 3].flatMap((workers) => [4, 3 << 20].map((bytes) => [workers, bytes])),
    )
    expect(await joined.finished).toMatchObject({ code: 0, stderr: '' })
    const lonely = ['--workers', '2', '--bind', meeting, '--remote', '2', '--connect-timeout', '1']
    expect(await ringleader('bench', 'allreduce', ...lonely)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /0 of 2 workers joined within 1 s; start `ringleader bench worker --coordinator tcp/,
      ),
    })
    expect(await ringleader('bench', 'worker', ...joins, '--connect-timeout', '1')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^ringleader: no `bench allreduce --bind` at tcp:\/\/127.0.0.1:\d+: .*ECONNREFUSED/,
      ),
    })
  })

  it('fails when a worker dies, and leaves no worker behind when it is killed itself', async () => {
    const flags = ['bench', 'allreduce', '--sizes', '16M', '--iterations', '1000']
    const workersOf = async (bench: Cli) => {
      const workers = () => childrenOf(bench.child.pid, 'all-reduce-process')
      await vi.waitUntil(() => workers().length === 2, patience)
      return workers()
    }
    const bereft = new Cli(flags)
    process.kill((await workersOf(bereft))[0] ?? 0, 'SIGKILL')
    expect(await bereft.finished).toMatchObject({ code: 1, stderr: expect.stringContaining('has ended') })
    const killed = new Cli(flags)
    const workers = await workersOf(killed)
    killed.kill('SIGKILL')
    const alive = (pid: number) => {
      try {
        return process.kill(pid, 0)
      } catch {
        return false
      }
    }
    await vi.waitUntil(() => !workers.some(alive), patience)
  })
})

const brief = ['--seconds', '1', '--warm-up', '0.5', '--rounds', '1']

it('bench step measures a training, and compares its rate', async () => {
  const peer = peerThatPrints({ peer: 'fake', model: 'vae', globalBatch: 32, imagesPerSecond: 100, iterationMs: 320 })
  const flags = ['--workers', '1', ...brief, '--batch-size', '32', '--json', '--peer', peer]
  const { code, stdout } = await ringleader('bench', 'step', ...flags)
  expect(code).toBe(0)
  const [line] = objects(stdout)
  expect(line).toMatchObject({ model: 'vae', math: 'fp32', worldSize: 1, globalBatch: 32, reproducible: false })
  expect(line.iterationMs).toBeGreaterThan(0)
  expect(line.imagesPerSecond / ((line.steps * 32) / line.seconds)).toBeCloseTo(1, 1)
  expect(Object.keys(line.phaseMs)).toContain('betweenSteps')
  expect(line).toMatchObject({ peer: 'fake', peerImagesPerSecond: 100 })
  expect(line.ratio.median / (line.imagesPerSecond / 100)).toBeCloseTo(1, 2)
})

it('bench scaling compares two workers in a group with two on their own', async () => {
  const { code, stdout } = await ringleader('bench', 'scaling', ...brief, '--json')
  expect(code).toBe(0)
  const [line] = objects(stdout)
  const [{ together, apart, ratio }] = line.rounds
  expect(apart).toHaveLength(2)
  expect(ratio / (together / (apart[0] + apart[1]))).toBeCloseTo(1, 2)
  expect(line).toMatchObject({ model: 'vae', globalBatch: 128, ratio: { median: ratio } })
})

it('bench scale simulates, predicts steps from measured ones, and draws it', async () => {
  const folder = temporaryFolder()
  const [measured, plot] = [join(folder, 'steps.jsonl'), join(folder, 'plot.svg')]
  // 2 ms of a step do not shrink, 40 ms do.
  const steps = [128, 64, 32].map((batch) => ({
    worldSize: 1,
    globalBatch: batch,
    steps: 100,
    seconds: 0.2 + batch / 32,
    allReduceMs: 0,
  }))
  writeFileSync(measured, steps.map((step) => `${JSON.stringify(step)}\n`).join(''))
  const links = ['--latency', '0.1ms', '--bandwidth', '8Gbit/s', '--message-cost', '0us', '--sum-rate', '1000GB/s']
  const flags = [...links, '--ranks', '4,16', '--bytes', '16M', '--algorithms', 'ring,tree', '--json']
  const { code, stdout, stderr } = await ringleader('bench', 'scale', ...flags, '--measured', measured, '--plot', plot)
  expect(stderr).toBe('')
  expect(code).toBe(0)
  const lines = objects(stdout)
  expect(lines.map(({ worldSize, algorithm }) => [worldSize, algorithm])).toEqual(
    [4, 16].flatMap((ranks) => [
      [ranks, 'ring'],
      [ranks, 'tree'],
    ]),
  )
  for (const { worldSize, ms, busbwGBps, step } of lines) {
    expect(busbwGBps / (((16 << 20) / ms / 1e6) * 2 * (1 - 1 / worldSize))).toBeCloseTo(1, 2)
    expect(busbwGBps).toBeLessThan(1)
    expect(step.ms).toBeCloseTo(2 + 40 / worldSize + ms, 1)
    expect(step.imagesPerSecond / ((1000 * 128) / step.ms)).toBeCloseTo(1, 2)
    expect(step.efficiency).toBeCloseTo(42 / step.ms / worldSize, 2)
  }
  expect(readFileSync(plot, 'utf8').match(/<polyline/g)).toHaveLength(2)
})

it('bench coordinator takes a real one through joins, a mass failure and a mass join', async () => {
  const { code, stdout, stderr } = await ringleader(
    'bench',
    'coordinator',
    '--workers',
    '40',
    '--seconds',
    '1',
    '--json',
  )
  expect(stderr).toBe('')
  expect(code).toBe(0)
  const lines = objects(stdout)
  const phases = ['join', 'form', 'heartbeats', 'heartbeats and commits', 'mass failure', 'mass join']
  expect(lines.map(({ phase }) => phase)).toEqual(phases)
  for (const { ms, cpuMs, workers } of lines) {
    expect(workers).toBe(40)
    expect(cpuMs).toBeGreaterThan(0)
    expect(ms).toBeGreaterThan(0)
  }
})

it.each([
  [['bench'], /write what to bench: allreduce, worker, step, scaling/],
  [['bench', 'stepp'], /unknown command bench stepp; did you mean step\?/],
  [['bench', 'allreduce', '--workers', '1'], /--workers 1: write a whole number from 2 to 64/],
  [['bench', 'allreduce', '--sizes', '6'], /--sizes 6: write bytes in multiples of 4/],
  [['bench', 'allreduce', '--sizes', '900G'], /--sizes: 900G with 2 workers does not fit; write \d+[MG] at most/],
  [['bench', 'allreduce', '--wire', 'pigeon'], /--wire pigeon is unknown; write one of/],
  [['bench', 'allreduce', '--remote', '1'], /--remote goes with --bind; write an address such as tcp:/],
  [['bench', 'allreduce', '--bind', 'tcp://127.0.0.1:1'], /--bind goes with --remote; write how many workers join/],
  [['bench', 'allreduce', '--bind', 'tcp://0.0.0.0:1', '--remote', '1'], /write the address of one interface/],
  [['bench', 'allreduce', '--bind', 'tcp://127.0.0.1:0', '--remote', '1'], /write a port, such as tcp:/],
  [['bench', 'worker', '--coordinator', 'tcp://127.0.0.1:1'], /write --bind as well/],
  [['bench', 'allreduce', '--rounds', '2'], /--rounds goes with --peer; leave it out/],
  [['bench', 'step', '--seconds', '0'], /--seconds 0: write seconds from 1 to 600/],
  [['bench', 'step', '--warm-up', '-1'], /--warm-up -1: write seconds from 0 to 600/],
  [['bench', 'step', '--workers', '1,2', '--peer', 'x'], /--workers 1,2 with --peer: write one number of workers/],
  [['bench', 'step', '--model', 'gna'], /--model gna is unknown; write one of vae, gan/],
  [['bench', 'coordinator', '--workers', '1'], /--workers 1: write a whole number from 4 to 1024/],
  [['bench', 'scale', '--ranks', '2000'], /--ranks 2000: write a whole number from 2 to 1024/],
  [['bench', 'scale', '--bytes', '44 MB'], /--bytes 44 MB: write a multiple of 4, such as 4096 or 44M/],
  [['bench', 'scale', '--latency', '50'], /--latency 50: write a time with its unit, such as 50us/],
  [['bench', 'scale', '--bandwidth', 'fast'], /--bandwidth fast: write bytes or bits a second, such as 1.2GB\/s/],
  [['bench', 'scale', '--algorithms', 'rign'], /--algorithms rign is unknown; write some of/],
  [['bench', 'scale', '--reductions', '2'], /--reductions goes with --measured/],
  [
    ['bench', 'scale', '--measured', 'none'],
    /--measured none: write a file with lines of `ringleader bench step --json`/,
  ],
  [['bench', 'scaling', '--batch-size', '7'], /--batch-size 7: write an even number/],
])('%j is refused with one line and exit code 2', async (args, line) => {
  const { code, stderr, stdout } = await ringleader(...args)
  expect(stderr).toMatch(line)
  expect(stderr.trim().split('\n')).toHaveLength(1)
  expect(stdout).toBe('')
  expect(code).toBe(2)
})
