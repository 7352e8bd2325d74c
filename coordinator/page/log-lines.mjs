import { clock } from './format.mjs'

const levels = ['debug', 'info', 'warn', 'error']
const shownLines = 200

/**
 * The newest lines of all logs, from the level on that is chosen; the function draws anew.
 * @param {(selector: string) => HTMLElement} find
 * @returns {(data: import('./run-data.mjs').RunData) => void}
 */
export function makeLogLines(find) {
  const choice = /** @type {HTMLSelectElement} */ (find('.lines select'))
  /** @type {import('./run-data.mjs').LogLine[]} */
  let lines = []
  const show = () => {
    const chosen = lines.filter(({ level }) => levels.indexOf(level) >= levels.indexOf(choice.value)).slice(-shownLines)
    find('.lines .none').hidden = chosen.length > 0
    find('.lines ol').replaceChildren(...chosen.reverse().map(item))
  }
  choice.addEventListener('change', show)
  return (data) => {
    lines = data.lines
    find('.lines').hidden = lines.length === 0
    show()
  }
}

/** @param {import('./run-data.mjs').LogLine} line */
function item({ time, level, worker, text }) {
  const made = document.createElement('li')
  const when = document.createElement('time')
  when.dateTime = time
  when.textContent = clock(time)
  const parts = [level, worker, text].map((part) => {
    const span = document.createElement('span')
    span.textContent = part
    return span
  })
  if (level === 'warn' || level === 'error') parts[0]?.classList.add('bad')
  made.append(when, ...parts)
  return made
}
