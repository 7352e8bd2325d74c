import { writeFileSync } from 'node:fs'
import { messageOf, RingleaderError } from '../../shared/core/errors.ts'
import { escaped, svg, text } from '../svg.ts'
import { sizeName } from './sizes.ts'

export interface PlotLine {
  readonly name: string
  readonly points: readonly { readonly bytes: number; readonly busbwGBps: number }[]
}

export interface Curve {
  readonly name: string
  readonly points: readonly Point[]
}

interface Point {
  readonly x: number
  readonly y: number
}

export interface Axes {
  /** What y is, and in which unit. */
  readonly title: string
  readonly xTitle: string
  /** Label of a place on the x axis. */
  xName(x: number): string
}

const size = { width: 720, height: 440 }
const frame = { left: 70, right: 700, top: 30, bottom: 380 }
const colors = ['#1f77b4', '#d62728', '#2ca02c', '#9467bd', '#ff7f0e', '#8c564b']
const powersOf10 = Array.from({ length: 13 }, (_, index) => 10 ** (index - 8))

/** Bus bandwidth over size, as an SVG. */
export function plotBandwidth(lines: readonly PlotLine[]): string {
  const curves = lines.map(({ name, points }) => ({
    name,
    points: points.map(({ bytes, busbwGBps }) => ({ x: bytes, y: busbwGBps })),
  }))
  return plotCurves(curves, { title: 'all-reduce, bus bandwidth in GB/s', xTitle: 'bytes', xName: sizeName })
}

/** Curves of positive values, both axes logarithmic, as an SVG. What is not above 0 is left out. */
export function plotCurves(all: readonly Curve[], axes: Axes): string {
  const curves = all.map(({ name, points }) => ({ name, points: points.filter(({ y }) => y > 0) }))
  const points = curves.flatMap((curve) => curve.points)
  const x = logScale(points.map((point) => point.x)).to(frame.left, frame.right)
  const low = Math.min(...points.map((point) => point.y))
  const high = Math.max(...points.map((point) => point.y))
  const ticks = powersOf10.filter((tick) => tick * 10 > low && tick / 10 < high)
  const y = logScale(ticks).to(frame.bottom, frame.top)
  const parts = [
    ...ticks.map((tick) => horizontal(y(tick), `${tick}`)),
    ...[...new Set(points.map((point) => point.x))].map((place) => vertical(x(place), axes.xName(place))),
    ...curves.map((curve, index) => drawn(curve, colors[index % colors.length] ?? 'black', index, x, y)),
    text(385, 425, 'middle', axes.xTitle),
    text(frame.left, 18, 'start', axes.title),
  ]
  return svg(size, parts)
}

function logScale(values: readonly number[]) {
  const [low, high] = [Math.log(Math.min(...values)), Math.log(Math.max(...values))]
  const span = high > low ? high - low : 1
  return {
    to: (from: number, until: number) => (value: number) => from + ((Math.log(value) - low) / span) * (until - from),
  }
}

type Scale = (value: number) => number

function drawn({ name, points }: Curve, color: string, index: number, x: Scale, y: Scale): string {
  const places = points.map((point) => `${x(point.x).toFixed(1)},${y(point.y).toFixed(1)}`)
  const dots = places.map((place) => `<circle cx="${place.replace(',', '" cy="')}" r="3" fill="${color}"/>`)
  return [
    `<polyline points="${places.join(' ')}" fill="none" stroke="${color}" stroke-width="2"/>`,
    ...dots,
    `<text x="${frame.left + 12}" y="${frame.top + 18 + 16 * index}" fill="${color}">${escaped(name)}</text>`,
  ].join('\n')
}

function horizontal(y: number, label: string): string {
  return `<path d="M${frame.left} ${y.toFixed(1)}H${frame.right}" stroke="#ddd"/>${text(frame.left - 8, y + 4, 'end', label)}`
}

function vertical(x: number, label: string): string {
  return `<path d="M${x.toFixed(1)} ${frame.top}V${frame.bottom}" stroke="#eee"/>${text(x, frame.bottom + 18, 'middle', label)}`
}

export function writePlot(path: string, svg: string): void {
  try {
    writeFileSync(path, svg)
  } catch (error) {
    throw new RingleaderError('output', `cannot write ${path}: ${messageOf(error)}`, { cause: error })
  }
}
