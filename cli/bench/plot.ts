import { sizeName } from './sizes.ts'

export interface PlotLine {
  readonly name: string
  readonly points: readonly { readonly bytes: number; readonly busbwGBps: number }[]
}

const size = { width: 720, height: 440 }
const frame = { left: 70, right: 700, top: 30, bottom: 380 }
const colors = ['#1f77b4', '#d62728', '#2ca02c', '#9467bd', '#ff7f0e', '#8c564b']
const powersOf10 = Array.from({ length: 13 }, (_, index) => 10 ** (index - 8))

/** Bus bandwidth over size, both axes logarithmic, as an SVG. */
export function plotBandwidth(lines: readonly PlotLine[]): string {
  const points = lines.flatMap((line) => line.points).filter(({ busbwGBps }) => busbwGBps > 0)
  const x = logScale(points.map(({ bytes }) => bytes)).to(frame.left, frame.right)
  const low = Math.min(...points.map(({ busbwGBps }) => busbwGBps))
  const high = Math.max(...points.map(({ busbwGBps }) => busbwGBps))
  const ticks = powersOf10.filter((tick) => tick >= low / 10 && tick <= high * 10)
  const y = logScale(ticks.filter((tick) => tick * 10 > low && tick / 10 < high)).to(frame.bottom, frame.top)
  const parts = [
    ...ticks.filter((tick) => tick * 10 > low && tick / 10 < high).map((tick) => horizontal(y(tick), `${tick}`)),
    ...[...new Set(points.map(({ bytes }) => bytes))].map((bytes) => vertical(x(bytes), sizeName(bytes))),
    ...lines.map((line, index) => curve(line, colors[index % colors.length] ?? 'black', index, x, y)),
    text(385, 425, 'middle', 'bytes'),
    text(frame.left, 18, 'start', 'all-reduce, bus bandwidth in GB/s'),
  ]
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${size.width}" height="${size.height}" fill="white"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n')
}

function logScale(values: readonly number[]) {
  const [low, high] = [Math.log(Math.min(...values)), Math.log(Math.max(...values))]
  const span = high > low ? high - low : 1
  return {
    to: (from: number, until: number) => (value: number) => from + ((Math.log(value) - low) / span) * (until - from),
  }
}

type Scale = (value: number) => number

function curve({ name, points }: PlotLine, color: string, index: number, x: Scale, y: Scale): string {
  const places = points
    .filter(({ busbwGBps }) => busbwGBps > 0)
    .map(({ bytes, busbwGBps }) => `${x(bytes).toFixed(1)},${y(busbwGBps).toFixed(1)}`)
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

function text(x: number, y: number, anchor: string, content: string): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escaped(content)}</text>`
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
