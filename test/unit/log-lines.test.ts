import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { LogLines } from '../../coordinator/http/log-lines.ts'
import { limits } from '../../shared/core/limits.ts'
import { temporaryFolder } from '../support/folder.ts'

describe('the newest lines of all logs', () => {
  const line = (worker: string, second: number, level: string, msg: string, more: object = {}) =>
    `${JSON.stringify({ level, time: `2026-01-01T00:00:${String(second).padStart(2, '0')}.000Z`, run: 'r', worker, generation: 1, step: 7, ...more, msg })}\n`

  it('are in the order of their time, with what they say; words that are no line are not', async () => {
    const path = temporaryFolder()
    const lines = new LogLines(path)
    await lines.read()
    expect(lines.since(0)).toEqual([])
    mkdirSync(join(path, 'logs'))
    writeFileSync(
      join(path, 'logs/b.jsonl'),
      `${line('b', 2, 'info', 'halts', { reason: 'x y', share: 0.123456789, epoch: 1234567, hash: 'a'.repeat(64) })}words\n`,
    )
    writeFileSync(
      join(path, 'logs/a.jsonl'),
      line('a', 1, 'error', 'broke', { err: { message: 'no room', stack: '…' } }),
    )
    writeFileSync(join(path, 'logs/a.old.jsonl'), line('a', 0, 'info', 'older'))
    await lines.read()
    expect(lines.since(0)).toEqual([
      {
        id: 1,
        time: '2026-01-01T00:00:01.000Z',
        level: 'error',
        worker: 'a',
        text: 'broke · no room · generation 1, step 7',
      },
      {
        id: 2,
        time: '2026-01-01T00:00:02.000Z',
        level: 'info',
        worker: 'b',
        text: 'halts · reason x y · share 0.12346 · epoch 1234567 · hash aaaaaaaaaaaa… · generation 1, step 7',
      },
    ])
    appendFileSync(join(path, 'logs/a.jsonl'), line('a', 3, 'info', 'again'))
    await lines.read()
    expect(lines.since(2).map(({ text }) => text)).toEqual(['again · generation 1, step 7'])
  })

  it('are the end of a long file, and bounded; an error is not pushed out by what is said after it', async () => {
    const path = temporaryFolder()
    mkdirSync(join(path, 'logs'))
    const file = join(path, 'logs/a.jsonl')
    writeFileSync(file, line('a', 0, 'error', 'long ago') + line('a', 1, 'info', 'x'.repeat(1000)).repeat(100))
    const lines = new LogLines(path)
    await lines.read()
    const first = lines.since(0)
    expect(first.length).toBeGreaterThan(50)
    expect(first.length).toBeLessThan(65)
    expect(Math.max(...first.map(({ text }) => text.length))).toBe(500)
    appendFileSync(file, line('a', 2, 'warn', 'grave') + line('a', 3, 'debug', 'chatter').repeat(5000))
    await lines.read()
    expect(lines.since(0).length).toBe(limits.pageLogLines + 1)
    expect(lines.since(0)[0]?.level).toBe('warn')
  })
})
