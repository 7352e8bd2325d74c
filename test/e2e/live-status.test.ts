import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openHttpServer } from '../../coordinator/http/server.ts'
import { hasTool, ringleader, root } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const worker = (workerId: string, rank: number) => ({
  ...{ workerId, rank, step: 2, standing: 'running', computeSeconds: 0.01, slow: null },
})
const status = {
  ...{ runId: 'a-run', model: 'vae', dataset: 'mnist', phase: 'running', step: 2, totalSteps: 10, epoch: 0 },
  ...{ generation: 1, worldSize: 2, workers: [worker('worker-0', 0), worker('worker-1', 1)] },
}

async function serve() {
  const path = temporaryFolder()
  mkdirSync(join(path, 'samples'))
  const lines = [1, 2].map((step) => ({ step, images: 32, seconds: 0.1, vaeLoss: 3 - step }))
  writeFileSync(join(path, 'metrics.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  writeFileSync(join(path, 'events.jsonl'), '')
  return openHttpServer('127.0.0.1', 0, {
    ...{ metrics: null, actions: null, runs: [{ name: 'a-run', path, status: () => status }] },
  })
}

async function inTerminal(keys: string, address: string, environment: Record<string, string> = {}) {
  const command = [process.execPath, join(root, 'cli/ringleader.mjs'), 'status', '--http', address]
  const child = spawn('python3', [join(root, 'test/e2e/live-status.py'), keys, ...command], {
    env: { ...process.env, TERM: 'xterm', NO_COLOR: '', ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let out = ''
  child.stdout.on('data', (bytes: Buffer) => {
    out += bytes.toString()
  })
  await once(child, 'close')
  return JSON.parse(out) as { code: number | null; restored: boolean; seen: string }
}

describe.skipIf(!hasTool('python3', '--version'))('ringleader status in a terminal', () => {
  it('is a live screen that q and Ctrl-C leave, with the terminal as it was', async () => {
    const server = await serve()
    try {
      for (const [keys, code] of [
        ['q', 0],
        ['\\x03', 130],
      ] as const) {
        const { seen, ...end } = await inTerminal(keys, server.address)
        expect(end, seen).toEqual({ code, restored: true })
        expect(seen).toContain('a-run   vae on mnist   running')
        expect(seen).toMatch(/vaeLoss +█▁/)
        expect(seen.indexOf('\x1b[?1049h')).toBe(0)
        expect(seen.endsWith('\x1b[?25h\x1b[?1049l')).toBe(true)
        expect(seen).toContain('\x1b[1m')
      }
      // biome-ignore lint/suspicious/noControlCharactersInRegex: colours
      expect((await inTerminal('q', server.address, { NO_COLOR: '1' })).seen).not.toMatch(/\x1b\[\d+m/)
    } finally {
      await server.close()
    }
  })

  it('is text elsewhere', async () => {
    const server = await serve()
    const { code, stdout } = await ringleader('status', '--http', server.address)
    await server.close()
    expect(code).toBe(0)
    expect(stdout).toMatch(/^runId +a-run\n/)
    expect(stdout).not.toContain('\x1b')
  })
})
