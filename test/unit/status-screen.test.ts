import { describe, expect, it } from 'vitest'
import { usesColor } from '../../cli/color.ts'
import { serverSentEvents } from '../../cli/status/follow-run.ts'
import { emptyView, updated } from '../../cli/status/run-view.ts'
import { screen } from '../../cli/status/screen.ts'
import { sparkline } from '../../cli/status/sparkline.ts'

const worker = (index: number, slow: string | null = null) => ({
  ...{
    workerId: `worker-${index}`,
    rank: index,
    step: 40,
    standing: 'running',
    lanes: 3 + index,
    computeSeconds: 0.02,
    slow,
  },
})
const status = {
  ...{ runId: 'my-run', model: 'vae', dataset: 'mnist', phase: 'running', step: 40, totalSteps: 100, epoch: 2 },
  ...{ generation: 3, worldSize: 2, algorithm: { name: 'direct', reason: 'why' } },
}
const column = (...mean: (number | null)[]) => ({ mean, min: mean, max: mean })
const incident = { workerId: 'worker-1', kind: 'dead', step: 12, detectMs: 1, reformMs: 20, firstCommitMs: 300 }

describe('a sparkline', () => {
  it('goes from the least to the most, in as many characters as there are values or room', () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 10)).toBe('▁▂▃▄▅▆▇█')
    expect(sparkline([0, 0, 7, 7], 2)).toBe('▁█')
    expect(sparkline([3, 3, 3], 10)).toBe('▁▁▁')
    expect(sparkline([1, null, Number.NaN, 2], 10)).toBe('▁  █')
    expect([sparkline([], 10), sparkline([null], 10), sparkline([1], 0)]).toEqual(['', '', ''])
    expect(sparkline([1e308, 1e308, 1], 3)).toHaveLength(3)
  })
})

describe('the screen of a run', () => {
  const view = updated(emptyView, {
    status: {
      ...status,
      workers: [worker(0), worker(1, 'compute')],
      alarms: [{ alarm: 'mode-collapse', reason: 'samples are alike' }],
    },
    series: {
      from: 0,
      steps: [10, 20],
      columns: { vaeLoss: column(2, 1), seconds: column(0.1, 0.1), imagesPerSecond: column(5, 6) },
    },
    events: [
      { id: 1, time: '2026-01-01T10:11:12.000Z', kind: 'incident', incident, reason: 'ended by SIGKILL' },
      { id: 2, time: '2026-01-01T10:11:13.000Z', kind: 'alarm', alarm: 'files', reason: 'no room' },
    ],
  })
  const text = (size: { columns: number; rows: number }, color = false) => screen(view, size, color)

  it('tells how far it is, its curves, who is slow, and what happened', () => {
    const all = text({ columns: 100, rows: 40 }).join('\n')
    expect(all).toContain('my-run   vae on mnist   running')
    expect(all).toMatch(/\[=+\.+\] step 40 of 100 {3}epoch 2 {3}ETA 0:06/)
    expect(all).toContain('6 images/s   100 ms/step   2 workers   generation 3   all-reduce direct')
    expect(all).toMatch(/vaeLoss +█▁ +1$/m)
    expect(all).toMatch(
      /worker +rank +state +step +lanes[^\n]+\nworker-1 +1 +running +40 +4 +20 ms +compute *\nworker-0/,
    )
    expect(all).toContain('10:11:12  worker-1 dead at step 12: 1 + 20 + 300 ms  ended by SIGKILL')
    expect(all).toMatch(/^mode-collapse: samples are alike$/m)
    expect(all).toContain('10:11:13  files: no room')
    expect(all).not.toContain('\x1b')
  })

  it('fits any terminal, with colours of no width', () => {
    for (const columns of [20, 80, 300])
      for (const rows of [3, 10, 24, 100])
        for (const color of [true, false]) {
          const lines = text({ columns, rows }, color)
          expect(lines.length).toBeLessThanOrEqual(rows)
          // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the colours
          for (const line of lines) expect(line.replaceAll(/\x1b\[\d+m/g, '').length).toBeLessThanOrEqual(columns)
        }
    expect(text({ columns: 80, rows: 24 }, true).join('')).toContain('\x1b[31m')
  })

  it('tells the stages of a pipeline', () => {
    const staged = updated(view, { status: { ...status, workers: [worker(0), { ...worker(1), stage: 1 }] } })
    expect(screen(staged, { columns: 100, rows: 40 }, false).join('\n')).toMatch(
      /worker-0 +0 +running[^\n]+\nworker-1 +1, st. 1 +running/,
    )
  })

  it('leaves out workers that find no room, and says how many', () => {
    const many = updated(view, {
      status: { ...status, workers: Array.from({ length: 200 }, (_, index) => worker(index)) },
    })
    const lines = screen(many, { columns: 80, rows: 24 }, false)
    expect(lines).toHaveLength(24)
    expect(lines.join('\n')).toMatch(/… and 19\d more/)
    expect(lines.at(-1)).toBe('q leaves')
  })

  it('lets no name steer the terminal', () => {
    const evil = updated(view, { status: { ...status, runId: 'a\x1b[2Jb\u009b1mc\nd', workers: [] } })
    expect(screen(evil, { columns: 80, rows: 24 }, false)[0]).toMatch(/^a\?\[2Jb\?1mc\?d/)
  })

  it('keeps what it had, and takes what is new', () => {
    const more = updated(view, {
      series: { from: 1, steps: [25, 30], columns: { vaeLoss: column(7, 8), late: column(1, 2) } },
      events: [{ id: 3, time: '', kind: 'join' }],
    })
    expect(more.columns.get('vaeLoss')).toEqual([2, 7, 8])
    expect(more.columns.get('late')).toEqual([null, 1, 2])
    expect(more.points).toBe(3)
    expect(more.events.map(({ id }) => id)).toEqual([1, 2, 3])
    const anew = updated(more, { series: { from: 0, steps: [1], columns: { vaeLoss: column(4) } } })
    expect([...anew.columns]).toEqual([['vaeLoss', [4]]])
    expect(() => updated(view, { status: 3 })).toThrow()
  })
})

describe('server-sent events', () => {
  it('are read however they are cut, and comments passed over', async () => {
    const bytes = new TextEncoder().encode('retry: 1000\n\n:\n\ndata: {"a":"é"}\n\ndata: 2\n\n')
    for (const size of [1, 3, 1000]) {
      async function* pieces() {
        for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size)
      }
      const seen: unknown[] = []
      for await (const message of serverSentEvents(pieces())) seen.push(message)
      expect(seen).toEqual([{ a: 'é' }, 2])
    }
  })
})

describe('colours', () => {
  it('are for terminals without NO_COLOR', () => {
    expect(usesColor({ isTTY: true }, {})).toBe(true)
    expect(usesColor({ isTTY: true }, { NO_COLOR: '1' })).toBe(false)
    expect(usesColor({ isTTY: true }, { TERM: 'dumb' })).toBe(false)
    expect(usesColor({}, {})).toBe(false)
  })
})
