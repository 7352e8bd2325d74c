import { number, seconds } from './format.mjs'

/** @typedef {import('./run-data.mjs').RunData} RunData */

/**
 * Rows of text, changed in place, so that neither focus nor scrolling is lost.
 * @param {Element} body
 * @param {(string | HTMLElement)[][]} rows
 */
export function fill(body, rows) {
  while (body.children.length > rows.length) body.lastElementChild?.remove()
  for (const [index, cells] of rows.entries()) {
    const row = body.children[index] ?? body.appendChild(document.createElement('tr'))
    for (const [column, text] of cells.entries()) {
      const cell = row.children[column] ?? row.appendChild(document.createElement('td'))
      if (typeof text !== 'string') cell.replaceChildren(text)
      else if (cell.textContent !== text) cell.textContent = text
    }
  }
}

/**
 * @param {RunData} data
 * @param {(selector: string) => HTMLElement} find
 */
export function drawWorkers({ status }, find) {
  const workers = [...(status?.workers ?? [])].sort(
    (a, b) => Number(b.slow !== null) - Number(a.slow !== null) || (a.rank ?? Infinity) - (b.rank ?? Infinity),
  )
  find('.workers').hidden = workers.length === 0
  const body = find('.workers tbody')
  fill(
    body,
    workers.map(({ workerId, rank, stage, standing, step, lanes, computeSeconds, slow }) => [
      ...[
        workerId,
        rank === null ? '–' : `${rank}${stage === undefined ? '' : `, stage ${stage}`}`,
        standing,
        number(step),
        number(lanes),
        seconds(computeSeconds),
        slow ?? '',
      ],
    ]),
  )
  for (const [index, { slow }] of workers.entries()) body.children[index]?.classList.toggle('slow', slow !== null)
}

/**
 * @param {RunData} data
 * @param {(selector: string) => HTMLElement} find
 */
export function drawLedger({ status }, find) {
  const coverage = status?.coverage ?? []
  find('.ledger').hidden = coverage.length === 0
  const rows = coverage.toReversed().map(({ epoch, distinct, duplicates, missing }) => {
    const bar = document.createElement('progress')
    bar.max = Math.max(1, distinct + missing)
    bar.value = distinct
    bar.setAttribute('aria-label', `Samples used of epoch ${epoch}`)
    return [String(epoch), number(distinct), number(duplicates), number(missing), bar]
  })
  fill(find('.ledger tbody'), rows)
}
