import { number, seconds } from './format.mjs'
import { fill } from './tables.mjs'

/**
 * @typedef {{ workers: number, where: string, imagesPerSecond: number, lowImagesPerSecond: number, highImagesPerSecond: number,
 *   etaSeconds: number | null, efficiency: number }} Forecast
 * @typedef {{ flag: string, savedMs: number, lowMs: number, highMs: number, pays: boolean }} Change
 * @typedef {{ basis: string, forecasts: Forecast[], changes: Change[] }} Advice
 */

/**
 * What more or fewer workers, or another all-reduce, would bring.
 * @param {import('./run-data.mjs').RunData} data
 * @param {(selector: string) => HTMLElement} find
 */
export function drawAdvice({ status }, find) {
  const advice = status?.advice
  find('.advice').hidden = !advice
  if (!advice) return
  const basis = `From what was seen: ${advice.basis}.`
  if (find('.advice .basis').textContent !== basis) find('.advice .basis').textContent = basis
  fill(
    find('.advice tbody'),
    advice.forecasts.map(
      ({ workers, where, imagesPerSecond, lowImagesPerSecond, highImagesPerSecond, etaSeconds, efficiency }) => [
        number(workers),
        where,
        number(Math.round(imagesPerSecond)),
        `${number(Math.round(lowImagesPerSecond))} to ${number(Math.round(highImagesPerSecond))}`,
        seconds(etaSeconds),
        `${Math.round(100 * efficiency)} %`,
      ],
    ),
  )
  const lines = advice.changes.map(({ flag, savedMs, lowMs, highMs, pays }) => {
    const range = `${number(savedMs)} ms of a step (${number(lowMs)} to ${number(highMs)})`
    return `${flag} would save ${range}: ${pays ? 'it pays.' : 'not worth it.'}`
  })
  const list = find('.advice ul')
  list.hidden = lines.length === 0
  if (list.textContent === lines.join('')) return
  list.replaceChildren(
    ...lines.map((line) => {
      const item = document.createElement('li')
      item.textContent = line
      return item
    }),
  )
}
