import { setTimeout as sleep } from 'node:timers/promises'
import type { ReadStream, WriteStream } from 'node:tty'
import { exitCode } from '../../shared/core/errors.ts'
import { usesColor } from '../color.ts'
import { serverSentEvents } from './follow-run.ts'
import { emptyView, updated } from './run-view.ts'
import { screen } from './screen.ts'

/** The alternate screen without a cursor, and back (xterm control sequences, DECSET 1049 and 25). */
const enter = '\x1b[?1049h\x1b[?25l'
const leave = '\x1b[?25h\x1b[?1049l'
const redrawMs = 1000
const retryMs = 1000

/** Shows a run until `q`, Ctrl-C or a signal; the terminal is then as it was. Returns the exit code. */
export async function showLive(base: string, input: ReadStream, output: WriteStream): Promise<number> {
  const color = usesColor(output)
  const over = new AbortController()
  let view = emptyView
  let code: number = exitCode.ok
  const draw = () => {
    const { columns = 80, rows = 24 } = output
    const lines = screen(view, { columns, rows }, color)
    output.write(`\x1b[H${lines.map((line) => `${line}\x1b[K`).join('\r\n')}\x1b[J`)
  }
  const end = (next: number) => {
    code = next
    over.abort()
  }
  const interrupted = () => end(exitCode.interrupted)
  const onKey = (key: Buffer) => {
    const text = key.toString('latin1')
    if (text.includes('\x03'))
      interrupted() // Ctrl-C, which raw mode leaves to us
    else if (/[qQ]/.test(text)) end(exitCode.ok)
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.on(signal, interrupted)
  input.setRawMode(true)
  input.on('data', onKey).resume()
  output.on('resize', draw)
  output.write(enter)
  const timer = setInterval(draw, redrawMs)
  try {
    while (!over.signal.aborted) {
      try {
        const response = await fetch(`${base}/api/runs/0/events`, { signal: over.signal })
        if (response.ok && response.body)
          for await (const message of serverSentEvents(response.body)) {
            view = updated(view, message)
            draw()
          }
      } catch {
        // The coordinator is away, or is none: the screen says so, and it is tried again.
      }
      view = { ...view, connected: false }
      if (!over.signal.aborted) draw()
      await sleep(retryMs, undefined, { signal: over.signal }).catch(() => {})
    }
  } finally {
    clearInterval(timer)
    input.setRawMode(false)
    input.off('data', onKey).pause()
    output.off('resize', draw)
    for (const signal of signals) process.off(signal, interrupted)
    output.write(leave)
  }
  return code
}
