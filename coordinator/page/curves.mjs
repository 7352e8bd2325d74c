import { Chart } from './chart.mjs'
import { number, seconds, words } from './format.mjs'

/** @typedef {import('./run-data.mjs').RunData} RunData */

/** Figures of an evaluation that get a chart. */
const maxFigures = 12

/**
 * Charts of a run; the function draws them anew.
 * @param {Element} article
 * @param {(selector: string) => HTMLElement} find
 * @returns {(data: RunData) => void}
 */
export function makeCurves(article, find) {
  const losses = new Chart(find('.losses'), { label: 'Losses' })
  const throughput = new Chart(find('.throughput'), { label: 'Images a second' })
  const phases = new Chart(find('.phases'), { label: 'Phases of a step, one upon the other', format: seconds })
  /** @type {Map<string, Chart>} */
  const figures = new Map()
  return (data) => {
    const names = [...data.columns.keys()]
    const isLoss = /** @param {string} name */ (name) =>
      !/^phase\/|(Norm|Ratio|Accuracy)$|^(seconds|allReduceBytes|imagesPerSecond)$/.test(name)
    if (data.steps.length > 0) {
      losses.draw(
        data.steps,
        names.filter(isLoss).map((name) => banded(data, name, words(name))),
      )
      throughput.draw(data.steps, [banded(data, 'imagesPerSecond', 'images a second')])
      phases.draw(
        data.steps,
        stacked(
          data,
          names.filter((name) => name.startsWith('phase/')),
        ),
      )
    }
    quality(data, find, figures)
    article.classList.toggle('has-data', data.steps.length > 0)
  }
}

/**
 * @param {RunData} data
 * @param {string} name
 * @param {string} label
 */
function banded(data, name, label) {
  const { mean = [], min = [], max = [] } = data.columns.get(name) ?? {}
  return { label, values: mean, low: min, high: max }
}

/**
 * The highest line first: it is the sum of all.
 * @param {RunData} data
 * @param {string[]} names
 */
function stacked(data, names) {
  let below = data.steps.map(() => 0)
  return names
    .map((name) => {
      const own = data.columns.get(name)?.mean ?? []
      below = below.map((sum, index) => sum + (own[index] ?? 0))
      return { label: words(name), values: below, shown: own, fill: true }
    })
    .reverse()
}

/**
 * @param {RunData} data
 * @param {(selector: string) => HTMLElement} find
 * @param {Map<string, Chart>} charts
 */
function quality(data, find, charts) {
  const evaluations = data.events
    .filter(({ kind }) => kind === 'evaluation')
    .sort((a, b) => Number(a.step) - Number(b.step))
  if (evaluations.length === 0) return
  find('.quality').hidden = false
  /** @type {(event: import('./run-data.mjs').LoggedEvent) => Record<string, number>} */
  const figuresOf = ({ figures }) => /** @type {Record<string, number>} */ (figures ?? {})
  const names = [...new Set(evaluations.flatMap((event) => Object.keys(figuresOf(event))))].slice(0, maxFigures)
  for (const name of names) {
    let chart = charts.get(name)
    if (!chart) {
      chart = new Chart(find('.figures'), { label: name, height: 110, format: number })
      charts.set(name, chart)
    }
    chart.draw(
      evaluations.map(({ step }) => Number(step)),
      [{ label: words(name), values: evaluations.map((event) => figuresOf(event)[name] ?? null) }],
    )
  }
}
