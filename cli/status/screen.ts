import { duration } from '../progress.ts'
import type { RunView, ShownEvent } from './run-view.ts'
import { sparkline } from './sparkline.ts'

export interface ScreenSize {
  readonly columns: number
  readonly rows: number
}

type Style = 'bold' | 'bad' | 'quiet'
interface Line {
  readonly text: string
  readonly style?: Style
}

/** Select Graphic Rendition, ECMA-48 8.3.117. */
const codes: Readonly<Record<Style, string>> = { bold: '1', bad: '31', quiet: '2' }
const nameWidth = 22
const shownLosses = 4
const shownIncidents = 5

/** The lines of a screen of this size, each no longer than it is wide. `color` false: no escape sequences at all. */
export function screen(view: RunView, { columns, rows }: ScreenSize, color: boolean): string[] {
  const head = [...header(view, columns), { text: '' }, ...curves(view, columns)]
  const foot = [
    ...happenings(view),
    { text: '' },
    { text: view.connected ? 'q leaves' : 'no connection; trying again … q leaves', style: 'quiet' as const },
  ]
  const lines = [...head, ...workers(view, rows - head.length - foot.length), ...foot].slice(0, rows)
  return lines.map(({ text, style }) => {
    const plain = printable(text).slice(0, columns)
    return color && style && plain !== '' ? `\x1b[${codes[style]}m${plain}\x1b[0m` : plain
  })
}

function header({ status, columns: series, points }: RunView, width: number): Line[] {
  if (!status) return [{ text: 'waiting for the first word …' }]
  const { runId, model, dataset, phase, step, totalSteps, epoch, generation, worldSize, algorithm, alarms } = status
  const last = (name: string) => series.get(name)?.at(-1) ?? null
  const seconds = last('seconds')
  const left = seconds === null || points === 0 ? '' : `   ETA ${duration(seconds * (totalSteps - step))}`
  const barWidth = Math.max(10, Math.min(40, width - 50))
  const filled = Math.floor((step / Math.max(1, totalSteps)) * barWidth)
  const vitals = [
    `${figure(last('imagesPerSecond'))} images/s`,
    `${seconds === null ? '–' : figure(seconds * 1000)} ms/step`,
    ...(worldSize === undefined ? [] : [`${worldSize} worker${worldSize === 1 ? '' : 's'}`]),
    ...(generation === undefined ? [] : [`generation ${generation}`]),
    ...(algorithm ? [`all-reduce ${algorithm.name}`] : []),
  ]
  return [
    { text: `${runId}   ${model} on ${dataset}   ${phase}`, style: 'bold' },
    {
      text: `[${'='.repeat(filled)}${'.'.repeat(barWidth - filled)}] step ${step} of ${totalSteps}   epoch ${epoch}${left}`,
    },
    { text: vitals.join('   ') },
    ...alarms.map(({ alarm, reason }): Line => ({ text: `${alarm}: ${reason}`, style: 'bad' })),
  ]
}

function curves({ columns: series }: RunView, width: number): Line[] {
  const losses = [...series.keys()].filter((name) => /Loss$/.test(name)).slice(0, shownLosses)
  const barWidth = Math.max(10, Math.min(60, width - nameWidth - 12))
  const lines = [...losses, ...(series.has('imagesPerSecond') ? ['imagesPerSecond'] : [])].map((name) => {
    const values = series.get(name) ?? []
    return {
      text: `${name.padEnd(nameWidth)}${sparkline(values, barWidth).padEnd(barWidth)}  ${figure(values.at(-1) ?? null)}`,
    }
  })
  return lines.length === 0 ? [] : [...lines, { text: '' }]
}

/** As many as there is room for, slow ones first. */
function workers({ status }: RunView, room: number): Line[] {
  const all = [...(status?.workers ?? [])].sort(
    (a, b) => Number(b.slow !== null) - Number(a.slow !== null) || (a.rank ?? Infinity) - (b.rank ?? Infinity),
  )
  if (all.length === 0 || room < 3) return []
  const row = (...cells: string[]) => cells.map((cell, index) => cell.padEnd(index === 0 ? nameWidth : 10)).join('')
  const shown = all.slice(0, all.length > room - 2 ? room - 3 : all.length)
  const lines = shown.map(({ workerId, rank, stage, standing, step, lanes, computeSeconds, slow }): Line => {
    const computes = computeSeconds === null ? '–' : `${figure(computeSeconds * 1000)} ms`
    const text = row(workerId, placeOf(rank, stage), standing, String(step), String(lanes ?? '–'), computes, slow ?? '')
    return slow === null ? { text } : { text, style: 'bad' }
  })
  const more = all.length - shown.length
  return [
    { text: row('worker', 'rank', 'state', 'step', 'lanes', 'computes', 'slow through'), style: 'quiet' },
    ...lines,
    ...(more > 0 ? [{ text: `… and ${more} more` }] : []),
    { text: '' },
  ]
}

/** `2, st. 0`, where workers hold a stage each. */
function placeOf(rank: number | null, stage: number | undefined): string {
  if (rank === null) return '–'
  return stage === undefined ? String(rank) : `${rank}, st. ${stage}`
}

function happenings({ events }: RunView): Line[] {
  const shown = events.filter(({ kind }) => kind === 'incident' || kind === 'alarm').slice(-shownIncidents)
  if (shown.length === 0) return [{ text: 'no incidents', style: 'quiet' }]
  return [
    { text: 'incidents', style: 'quiet' },
    ...shown.reverse().map((event): Line => ({ text: told(event), style: 'bad' })),
  ]
}

function told(event: ShownEvent): string {
  const time = event.time.slice(11, 19)
  if (event.kind === 'alarm') return `${time}  ${String(event.alarm)}: ${String(event.reason)}`
  const { workerId, kind, step, detectMs, reformMs, firstCommitMs } = event.incident as Record<string, unknown>
  const parts = [detectMs, reformMs, firstCommitMs].map((ms) => (typeof ms === 'number' ? `${ms}` : '–'))
  return `${time}  ${String(workerId)} ${String(kind)} at step ${String(step)}: ${parts.join(' + ')} ms  ${String(event.reason ?? '')}`
}

function figure(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return '–'
  return Math.abs(value) >= 1000 ? String(Math.round(value)) : String(Number(value.toPrecision(4)))
}

/** Names and reasons come from elsewhere; none of them may steer the terminal. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, '?')
}
