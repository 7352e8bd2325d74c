import { number } from './format.mjs'

/**
 * @typedef {{ label: string, values: (number | null)[], shown?: (number | null)[], low?: (number | null)[], high?: (number | null)[], fill?: boolean }} Line
 *   `shown`: what the legend tells instead of `values`; `low` and `high`: the band around them; `fill`: down to the next line.
 */

const dark = matchMedia('(prefers-color-scheme: dark)')
const colors = 8

/** @param {string} name */
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

/** A chart over steps, with a legend that tells the values at the cursor; arrow keys move it. */
export class Chart {
  #plot = document.createElement('div')
  #legend = document.createElement('ul')
  /** @type {import('uplot') | null} */
  #chart = null
  /** @type {Line[]} */
  #lines = []
  /** @type {number[]} */
  #steps = []
  #shape = ''
  #height
  #format

  /**
   * @param {Element} parent
   * @param {{ label: string, height?: number, format?: (value: number | null | undefined) => string }} options
   */
  constructor(parent, { label, height = 220, format = number }) {
    this.#height = height
    this.#format = format
    const figure = document.createElement('figure')
    this.#plot.className = 'plot'
    this.#plot.tabIndex = 0
    this.#plot.setAttribute('role', 'img')
    this.#plot.setAttribute('aria-label', `${label}, a chart over steps; arrow keys move through it`)
    this.#legend.className = 'legend'
    figure.append(this.#plot, this.#legend)
    parent.append(figure)
    this.#plot.addEventListener('keydown', (event) => this.#key(event))
    this.#plot.addEventListener('focus', () => this.#legend.setAttribute('aria-live', 'polite'))
    this.#plot.addEventListener('blur', () => this.#legend.setAttribute('aria-live', 'off'))
    dark.addEventListener('change', () => this.#rebuild())
    new ResizeObserver(() => this.#chart?.setSize(this.#size())).observe(this.#plot)
  }

  /**
   * @param {number[]} steps
   * @param {Line[]} lines
   */
  draw(steps, lines) {
    this.#steps = steps
    this.#lines = lines
    const shape = lines.map(({ label, low }) => `${label}${low ? '±' : ''}`).join()
    if (shape !== this.#shape || !this.#chart) {
      this.#shape = shape
      this.#rebuild()
    } else this.#chart.setData(this.#data())
    this.#tell(this.#chart?.cursor.idx ?? steps.length - 1)
  }

  /** @returns {import('uplot').AlignedData} */
  #data() {
    return [
      this.#steps,
      ...this.#lines.flatMap(({ values, low, high }) => (low && high ? [values, low, high] : [values])),
    ]
  }

  #size() {
    return { width: Math.max(120, this.#plot.clientWidth), height: this.#height }
  }

  #rebuild() {
    this.#chart?.destroy()
    this.#legend.replaceChildren()
    const axis = { stroke: color('--quiet'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false } }
    /** @type {import('uplot').Series[]} */
    const series = [{ label: 'step' }]
    /** @type {import('uplot').Band[]} */
    const bands = []
    for (const [index, { label, low, fill }] of this.#lines.entries()) {
      const stroke = color(`--c${index % colors}`)
      const own = series.length
      series.push({ label, stroke, width: 1.5, spanGaps: true, points: { show: this.#steps.length < 2 } })
      if (fill) {
        if (index < this.#lines.length - 1) bands.push({ series: [own, own + 1], fill: `${stroke}99` })
        else series[own] = { ...series[own], fill: `${stroke}99` }
      }
      if (!low) continue
      const edge = { label, stroke: 'transparent', width: 0, spanGaps: true, points: { show: false } }
      series.push(edge, { ...edge })
      bands.push({ series: [own + 2, own + 1], fill: `${stroke}33` })
    }
    this.#chart = new uPlot(
      {
        ...this.#size(),
        series,
        bands,
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, points: { show: false } },
        scales: { x: { time: false } },
        axes: [
          {
            ...axis,
            size: 28,
            values: (_, splits) => splits.map((step) => (Number.isInteger(step) ? number(step) : '')),
          },
          { ...axis, size: 56, values: (_, splits) => splits.map((value) => this.#format(value)) },
        ],
        hooks: { setCursor: [(chart) => this.#tell(chart.cursor.idx ?? this.#steps.length - 1)] },
      },
      this.#data(),
      this.#plot,
    )
  }

  /** @param {number} index */
  #tell(index) {
    if (this.#legend.childElementCount !== this.#lines.length)
      this.#legend.replaceChildren(
        ...this.#lines.map((_, line) => {
          const item = document.createElement('li')
          const swatch = document.createElement('i')
          swatch.style.background = color(`--c${line % colors}`)
          item.append(swatch, document.createElement('span'))
          return item
        }),
      )
    for (const [line, { label, values, shown }] of this.#lines.entries()) {
      const text = this.#legend.children[line]?.lastElementChild
      if (text) text.textContent = `${label} ${this.#format((shown ?? values)[index])}`
    }
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 }[event.key]
    if (!this.#chart || move === undefined) return
    event.preventDefault()
    const last = this.#steps.length - 1
    const index = Math.min(last, Math.max(0, (this.#chart.cursor.idx ?? last) + move))
    this.#chart.setCursor({ left: this.#chart.valToPos(this.#steps[index] ?? 0, 'x'), top: 1 })
  }
}
