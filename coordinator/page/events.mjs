import { clock, number } from './format.mjs'

/**
 * @typedef {import('./run-data.mjs').RunData} RunData
 * @typedef {{ kind: string, workerId: string, step: number, detectMs: number | null, reformMs: number | null, firstCommitMs: number | null }} Incident
 */

const shownEvents = 300

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {string} text
 * @param {string} className
 */
function element(name, text = '', className = '') {
  const made = document.createElement(name)
  made.textContent = text
  made.className = className
  return made
}

/** @param {string} time */
function timeElement(time) {
  const made = element('time', clock(time))
  made.dateTime = time
  return made
}

/**
 * Incidents, newest first; the bars of all have one scale.
 * @param {RunData} data
 * @param {(selector: string) => HTMLElement} find
 */
export function drawIncidents({ events }, find) {
  const incidents = events
    .filter(({ kind }) => kind === 'incident')
    .map(({ time, incident, reason }) => ({ time, reason, .../** @type {Incident} */ (incident) }))
    .reverse()
  find('.incidents .none').hidden = incidents.length > 0
  find('.incidents .key').hidden = incidents.length === 0
  const totals = incidents.map(({ detectMs, reformMs, firstCommitMs }) => sum(detectMs, reformMs, firstCommitMs))
  const longest = Math.max(1, ...totals)
  find('.incidents ol').replaceChildren(
    ...incidents.map(({ time, kind, workerId, step, reason, detectMs, reformMs, firstCommitMs }, index) => {
      const bar = element('div', '', 'bar')
      bar.setAttribute('aria-hidden', 'true')
      const parts = /** @type {const} */ ([
        ['detect', detectMs],
        ['reform', reformMs],
        ['first', firstCommitMs],
      ])
      for (const [name, ms] of parts) {
        const part = element('span', '', name)
        part.style.width = `${(100 * (ms ?? 0)) / longest}%`
        bar.append(part)
      }
      const item = element('li')
      const times = parts.map(([, ms]) => `${number(ms)} ms`).join(' + ')
      const total = `${number(totals[index])} ms (${times})`
      item.append(
        timeElement(time),
        ` ${workerId} ${kind} at step ${number(step)}: ${total}. ${String(reason ?? '')}`,
        bar,
      )
      return item
    }),
  )
}

/**
 * @param {RunData} data
 * @param {(selector: string) => HTMLElement} find
 */
export function drawAlarms({ events, status }, find) {
  const newest = new Map(events.flatMap((event) => (/^alarm/.test(event.kind) ? [[event.alarm, event]] : [])))
  const raised = status?.alarms?.map(({ alarm }) => alarm)
  const alarms = [...newest.values()].filter(
    ({ kind, alarm }) => kind === 'alarm' && (!raised || raised.includes(String(alarm))),
  )
  const section = find('.alarms')
  section.hidden = alarms.length === 0
  const text = alarms.map(({ time, alarm, reason }) => `${clock(time)} ${String(alarm)}: ${String(reason)}`)
  if (section.textContent !== text.join('')) section.replaceChildren(...text.map((line) => element('p', line)))
}

/**
 * @param {RunData} data
 * @param {(selector: string) => HTMLElement} find
 */
export function drawLog({ events }, find) {
  find('.log ol').replaceChildren(
    ...events
      .slice(-shownEvents)
      .reverse()
      .map(({ id: _, topology: _links, time, kind, ...fields }) => {
        const item = element('li')
        const bad = ['lost', 'alarm', 'incident', 'slow', 'diverged', 'skipped', 'intervention'].includes(kind)
        item.append(timeElement(time), element('span', kind, bad ? 'bad' : ''), element('span', told(fields)))
        return item
      }),
  )
}

/**
 * @param {Record<string, unknown>} fields
 * @returns {string}
 */
function told(fields) {
  return Object.entries(fields)
    .filter(([, value]) => value !== null && value !== '' && !Array.isArray(value))
    .map(([key, value]) => {
      if (typeof value === 'object') return told(/** @type {Record<string, unknown>} */ (value))
      if (typeof value === 'number') return `${key} ${number(value)}`
      return key === 'weightsSha256' || key === 'classifier'
        ? `${key} ${String(value).slice(0, 12)}…`
        : `${key} ${value}`
    })
    .join(' · ')
}

/** @param {(number | null)[]} values */
function sum(...values) {
  return values.reduce((/** @type {number} */ total, value) => total + (value ?? 0), 0)
}
