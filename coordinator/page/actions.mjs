/** @typedef {import('./run-data.mjs').RunData} RunData */

/** For as long as this tab is open. */
const key = 'ringleader-token'

/**
 * Buttons that steer the run; the function shows those that make sense now.
 * @param {(selector: string) => HTMLElement} find
 * @returns {(data: RunData, over: boolean) => void}
 */
export function makeActions(find) {
  const group = find('.actions')
  const pause = /** @type {HTMLButtonElement} */ (find('.actions [data-action=pause]'))
  const say = (/** @type {string} */ text) => {
    find('.actions [role=status]').textContent = text
  }
  const press = (/** @type {HTMLButtonElement} */ button) => {
    const { action = '', workerId } = button.dataset
    const question =
      action === 'stop' ? 'End this run?' : workerId === undefined ? '' : `Let ${workerId} leave this run?`
    if (question !== '' && !confirm(question)) return
    act(action, workerId === undefined ? {} : { workerId }).then(say, () => say('No connection; try again.'))
  }
  for (const button of group.querySelectorAll('button')) button.addEventListener('click', () => press(button))
  return ({ status }, over) => {
    group.hidden = over
    pause.dataset.action = status?.held ? 'resume' : 'pause'
    pause.textContent = status?.held ? 'Go on' : 'Pause'
    find('.workers .steer').hidden = over
    for (const row of find('.workers tbody').children) {
      const cell = drainCell(row, press)
      cell.hidden = over
    }
  }
}

/**
 * The last cell of a worker's row, which stays the same element, so that focus stays.
 * @param {Element} row
 * @param {(button: HTMLButtonElement) => void} press
 */
function drainCell(row, press) {
  const workerId = row.firstElementChild?.textContent ?? ''
  let button = row.querySelector('button')
  if (!button) {
    const made = document.createElement('button')
    made.type = 'button'
    made.textContent = 'Drain'
    made.dataset.action = 'drain'
    made.addEventListener('click', () => press(made))
    row.appendChild(document.createElement('td')).append(made)
    button = made
  }
  button.dataset.workerId = workerId
  button.setAttribute('aria-label', `Drain ${workerId}`)
  return /** @type {HTMLElement} */ (button.parentElement)
}

/**
 * Asks for the token where this tab has none that holds.
 * @param {string} name
 * @param {object} body
 * @returns {Promise<string>} what came of it
 */
async function act(name, body) {
  for (let refusal = ''; ; ) {
    const token = sessionStorage.getItem(key) ?? (await askForToken(refusal))
    if (token === null) return 'Nothing was done.'
    const response = await fetch(`api/actions/${name}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const { message } = await response.json()
    if (response.status !== 401 && response.status !== 403) {
      sessionStorage.setItem(key, token)
      return response.ok ? `Done: ${message}.` : `Not done: ${message}.`
    }
    sessionStorage.removeItem(key)
    refusal = message
  }
}

/**
 * Null: the question was put away.
 * @param {string} refusal of the token before
 * @returns {Promise<string | null>}
 */
function askForToken(refusal) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById('token'))
  const input = /** @type {HTMLInputElement} */ (dialog.querySelector('input'))
  const told = dialog.querySelector('[role=alert]')
  if (told) told.textContent = refusal
  input.value = ''
  dialog.returnValue = ''
  dialog.showModal()
  return new Promise((resolve) => {
    dialog.onclose = () => {
      const token = input.value.trim()
      resolve(dialog.returnValue === 'ok' && /^[\x21-\x7e]+$/.test(token) ? token : null)
    }
  })
}
