import { exitCode, messageOf, RingleaderError } from '../../shared/core/errors.ts'
import { describeAdvice } from '../describe-advice.ts'
import type { Command } from '../parse.ts'
import { httpFlag } from '../run-options.ts'
import { showLive } from '../status/live-status.ts'
import { hostAndPort } from '../values.ts'

export const statusCommand: Command = {
  name: 'status',
  summary: "a running coordinator's state: live in a terminal, once elsewhere",
  example: 'ringleader status --http 127.0.0.1:9464 --json',
  flags: { http: httpFlag, json: { type: 'boolean', describe: 'print one JSON object', default: false } },
  async run(parsed) {
    const { host, port } = hostAndPort(String(parsed.http))
    const base = `http://${host}:${port}`
    const status = await fetchStatus(`${base}/api/status`)
    const { stdin, stdout } = process
    if (parsed.json !== true && stdin.isTTY && stdout.isTTY) return showLive(base, stdin, stdout)
    process.stdout.write(parsed.json === true ? `${JSON.stringify(status)}\n` : table(status))
    return exitCode.ok
  },
}

async function fetchStatus(url: string): Promise<Record<string, unknown>> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5000) })
    if (!response.ok) throw new Error(`it answered ${response.status}`)
    return (await response.json()) as Record<string, unknown>
  } catch (error) {
    const cause = error instanceof Error && error.cause ? messageOf(error.cause) : messageOf(error)
    throw new RingleaderError(
      'no-coordinator',
      `no coordinator at ${url} (${cause}); write --http HOST:PORT as it printed it`,
      { cause: error, exit: exitCode.temporary },
    )
  }
}

function table(status: Record<string, unknown>): string {
  const { workers, alarms, advice, ...rest } = status
  const lines = Object.entries(rest).map(([key, value]) => `${key.padEnd(16)}${told(value)}`)
  const rows = (Array.isArray(workers) ? workers : []).map(
    (worker: Record<string, unknown>) =>
      `  ${Object.entries(worker)
        .map(([key, value]) => `${key} ${String(value)}`)
        .join('  ')}`,
  )
  const raised = (Array.isArray(alarms) ? alarms : []).map((alarm) => `alarm           ${told(alarm)}`)
  return `${[...lines, ...raised, ...describeAdvice(advice), 'workers', ...rows].join('\n')}\n`
}

/** A choice with its reason in a line. */
function told(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value)
  return Object.values(value)
    .map((part) => (typeof part === 'object' ? JSON.stringify(part) : String(part)))
    .join(': ')
}
