import { svg, text } from '../svg.ts'
import type { TrialResult } from './sweep.ts'
import { isRange, type OptionValue, type Space } from './sweep-file.ts'

const panel = { width: 300, height: 260 }
const frame = { left: 66, right: 286, top: 34, bottom: 214 }
const columns = 3
/** More labels than this run into each other. */
const mostLabels = 6
const labelCharacters = 12

interface Axis {
  /** Place in 0…1. */
  place(value: OptionValue): number
  readonly labels: readonly OptionValue[]
}

/** The objective over each searched option, a panel each and a dot a trial, as an SVG; the best one is red. */
export function sweepPlot(
  objective: string,
  search: Readonly<Record<string, Space>>,
  results: readonly TrialResult[],
  best: TrialResult | null,
): string {
  const done = results.flatMap((result) => (result.value === null ? [] : [{ ...result, value: result.value }]))
  const y = heightOf(done.map(({ value }) => value))
  const panels = Object.entries(search).map(([flag, space], index) => {
    const axis = axisOf(space)
    const x = (value: OptionValue) => frame.left + 8 + axis.place(value) * (frame.right - frame.left - 16)
    const dots = done.map(({ trial, values, value }) => {
      const color = trial === best?.trial ? '#d62728' : '#1f77b4'
      const title = `<title>trial ${trial}: ${value.toPrecision(5)}</title>`
      const place = `cx="${x(values[flag] ?? 0).toFixed(1)}" cy="${y.at(value).toFixed(1)}"`
      return `<circle ${place} r="4" fill="${color}" fill-opacity="0.7">${title}</circle>`
    })
    const lines = y.ticks.map(
      (tick) =>
        `<path d="M${frame.left} ${y.at(tick).toFixed(1)}H${frame.right}" stroke="#ddd"/>${text(frame.left - 6, y.at(tick) + 4, 'end', short(tick))}`,
    )
    const labels = axis.labels.map((value) => text(x(value), frame.bottom + 18, 'middle', short(value)))
    const titles = [
      text(frame.left, 20, 'start', objective),
      text((frame.left + frame.right) / 2, frame.bottom + 38, 'middle', flag),
    ]
    const [left, top] = [(index % columns) * panel.width, Math.floor(index / columns) * panel.height]
    return `<g transform="translate(${left} ${top})">\n${[...lines, ...labels, ...titles, ...dots].join('\n')}\n</g>`
  })
  const size = {
    width: panel.width * Math.min(columns, panels.length),
    height: panel.height * Math.ceil(panels.length / columns),
  }
  return svg(size, panels)
}

/** Values of a list stand side by side; those of a range where they lie in it. */
function axisOf(space: Space): Axis {
  if (!isRange(space)) {
    const every = Math.ceil(space.length / mostLabels)
    return {
      place: (value) => (space.indexOf(value) + 0.5) / space.length,
      labels: space.filter((_, index) => index % every === 0),
    }
  }
  const { from, to, scale } = space
  const shape = scale === 'log' ? Math.log : (value: number) => value
  const place = (value: OptionValue) => (shape(Number(value)) - shape(from)) / (shape(to) - shape(from))
  const middle = scale === 'log' ? Math.sqrt(from * to) : (from + to) / 2
  return { place, labels: [from, middle, to] }
}

/** Five lines from the lowest to the highest value. */
function heightOf(values: readonly number[]): { at(value: number): number; readonly ticks: readonly number[] } {
  if (values.length === 0) return { at: () => frame.bottom, ticks: [] }
  const low = Math.min(...values)
  const high = Math.max(...values)
  const span = high > low ? high - low : 1
  const at = (value: number) => frame.bottom - ((value - low) / span) * (frame.bottom - frame.top)
  return { at, ticks: high > low ? [0, 0.25, 0.5, 0.75, 1].map((part) => low + part * span) : [low] }
}

function short(value: OptionValue): string {
  if (typeof value === 'number') return String(Number(value.toPrecision(3)))
  const text = String(value)
  return text.length > labelCharacters ? `${text.slice(0, labelCharacters - 1)}…` : text
}
