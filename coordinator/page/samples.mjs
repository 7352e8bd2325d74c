import { number } from './format.mjs'

/**
 * The grids of samples and of interpolations with a slider through their steps. At its end the slider follows the run; the function draws
 * anew.
 * @param {number} run
 * @param {(selector: string) => HTMLElement} find
 * @returns {(data: import('./run-data.mjs').RunData) => void}
 */
export function makeSamples(run, find) {
  const section = find('.samples')
  const slider = /** @type {HTMLInputElement} */ (find('.samples input'))
  const output = find('.samples output')
  const pictures = [...section.querySelectorAll('img')]
  /** @type {number[]} */
  let steps = []
  for (const picture of pictures)
    for (const type of ['load', 'error'])
      picture.addEventListener(type, () => {
        const figure = picture.closest('figure')
        if (figure) figure.hidden = type === 'error' // a run without this kind
      })
  const show = () => {
    const step = steps[Number(slider.value)]
    if (step === undefined) return
    for (const picture of pictures) {
      const source = `api/runs/${run}/${picture.dataset.folder}/step-${String(step).padStart(8, '0')}.png`
      if (picture.getAttribute('src') !== source) picture.src = source
      picture.alt = `${picture.dataset.folder === 'samples' ? 'Generated images' : 'Interpolations'} at step ${step}`
    }
    output.textContent = number(step)
    slider.setAttribute('aria-valuetext', `step ${step}`)
  }
  slider.addEventListener('input', show)
  return ({ samples }) => {
    if (samples === steps || samples.length === 0) return
    const follows = Number(slider.value) >= steps.length - 1
    const before = steps[Number(slider.value)]
    steps = samples
    slider.max = String(steps.length - 1)
    slider.value = String(follows || before === undefined ? steps.length - 1 : Math.max(0, steps.indexOf(before)))
    section.hidden = false
    show()
  }
}
