import { makeActions } from './actions.mjs'
import { drawAdvice } from './advice.mjs'
import { makeCurves } from './curves.mjs'
import { drawAlarms, drawIncidents, drawLog } from './events.mjs'
import { number, seconds } from './format.mjs'
import { drawGoodput } from './goodput.mjs'
import { makeLogLines } from './log-lines.mjs'
import { RunData } from './run-data.mjs'
import { makeSamples } from './samples.mjs'
import { follow } from './stream.mjs'
import { drawLedger, drawWorkers } from './tables.mjs'

const over = ['completed', 'interrupted', 'failed', 'ended']

/**
 * One run's part of the page.
 * @param {{ index: number, name: string, steered: boolean }} run
 */
function show({ index, name, steered }) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById('run'))
  const copy = /** @type {DocumentFragment} */ (template.content.cloneNode(true))
  const article = /** @type {HTMLElement} */ (copy.firstElementChild)
  /** @type {(selector: string) => HTMLElement} */
  const find = (selector) => /** @type {HTMLElement} */ (article.querySelector(selector))
  document.getElementById('runs')?.append(copy)
  find('h1').textContent = name
  const data = new RunData()
  const curves = makeCurves(article, find)
  const samples = makeSamples(index, find)
  const lines = makeLogLines(find)
  const actions = steered ? makeActions(find) : () => {}
  const connection = (/** @type {string} */ text) => {
    if (find('.connection').textContent !== text) find('.connection').textContent = text
  }
  connection('connecting …')
  follow(index, {
    open: () => connection(''),
    lost: () => connection(over.includes(phaseOf(data)) ? '' : 'no connection; trying again …'),
    update(update) {
      data.apply(update)
      drawHeader(data, find)
      if (update.series || update.events) curves(data)
      if (update.samples) samples(data)
      if (update.lines) lines(data)
      if (update.status) {
        drawWorkers(data, find)
        drawLedger(data, find)
        drawGoodput(data, find)
        drawAdvice(data, find)
      }
      if (update.status || update.events) actions(data, over.includes(phaseOf(data)))
      if (!update.events) return
      drawIncidents(data, find)
      drawAlarms(data, find)
      drawLog(data, find)
    },
  })
}

/** @param {RunData} data */
function phaseOf({ status, events }) {
  const end = events.findLast(({ kind }) => kind === 'end' || kind === 'start')
  return end?.kind === 'end' ? String(end.status) : (status?.phase ?? '')
}

/**
 * @param {RunData} data
 * @param {(selector: string) => HTMLElement} find
 */
function drawHeader(data, find) {
  const { status } = data
  if (!status) return
  const { model, dataset, step, totalSteps, epoch, worldSize, generation, algorithm } = status
  const phase = phaseOf(data)
  const state = `${model} on ${dataset}: ${phase}`
  if (find('.phase').textContent !== state) find('.phase').textContent = state
  document.title = `${phase} ${Math.floor((100 * step) / Math.max(1, totalSteps))} % – Ringleader`
  const progress = /** @type {HTMLProgressElement} */ (find('progress'))
  progress.value = step / Math.max(1, totalSteps)
  const stepSeconds = data.last('seconds')
  const left = stepSeconds === null || over.includes(phase) ? null : stepSeconds * (totalSteps - step)
  /** @type {[string, string][]} */
  const vitals = [
    ['step', `${number(step)} of ${number(totalSteps)}`],
    ['epoch', number(epoch)],
    ['images a second', number(data.last('imagesPerSecond'))],
    ['a step', seconds(stepSeconds)],
    ...(left === null ? [] : [/** @type {[string, string]} */ (['left', seconds(left)])]),
    ...(worldSize === undefined ? [] : [/** @type {[string, string]} */ (['workers', number(worldSize)])]),
    ...(generation === undefined ? [] : [/** @type {[string, string]} */ (['generation', number(generation)])]),
    ...(algorithm ? [/** @type {[string, string]} */ (['all-reduce', algorithm.name])] : []),
  ]
  find('.vitals').replaceChildren(
    ...vitals.map(([term, value]) => {
      const pair = document.createElement('div')
      const [dt, dd] = [document.createElement('dt'), document.createElement('dd')]
      dt.textContent = term
      dd.textContent = value
      dd.dataset.vital = term
      pair.append(dt, dd)
      return pair
    }),
  )
}

const answer = await fetch('api/runs')
/** @type {{ index: number, name: string, steered: boolean }[]} */
const runs = await answer.json()
for (const run of runs) show(run)
