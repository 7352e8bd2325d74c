import type { Goal } from './objective.ts'
import type { TrialResult } from './sweep.ts'

/** Completed trials, the best first; then the others, by number. */
export function ranked(results: readonly TrialResult[], goal: Goal): TrialResult[] {
  const sign = goal === 'minimize' ? 1 : -1
  const key = ({ value }: TrialResult) => (value === null ? Number.POSITIVE_INFINITY : sign * value)
  return [...results].sort((a, b) => (key(a) === key(b) ? a.trial - b.trial : key(a) - key(b)))
}

/** A line for each trial, in the order given. */
export function sweepTable(objective: string, results: readonly TrialResult[]): string {
  const flags = Object.keys(results[0]?.values ?? {})
  const rows = results.map(({ trial, values, value, seconds, status, reason }) => [
    String(trial),
    ...flags.map((flag) => String(values[flag])),
    value === null ? '' : value.toPrecision(5),
    seconds === null ? '' : seconds.toFixed(1),
    reason === null ? status : `${status}: ${reason}`,
  ])
  const lines = [['trial', ...flags, objective, 'seconds', 'status'], ...rows]
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0))) ?? []
  return lines.map((cells) => `${aligned(cells, widths)}\n`).join('')
}

/** Numbers stand under each other; the last column is text. */
function aligned(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, column) => (column === cells.length - 1 ? cell : cell.padStart(widths[column] ?? 0)))
    .join('  ')
}
