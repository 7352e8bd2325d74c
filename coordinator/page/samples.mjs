import { number } from './format.mjs'

/**
 * The sample grids with a slider through their steps. At its end the slider follows the run; the function draws anew.
 * @param {number} run
 * @param {(selector: string) => HTMLElement} find
 * @returns {(data: import('./run-data.mjs').RunData) => void}
 */
export function makeSamples(run, find) {
  const image = /** @type {HTMLImageElement} */ (find('.samples img'))
  const slider = /** @type {HTMLInputElement} */ (find('.samples input'))
  const output = find('.samples output')
  /** @type {number[]} */
  let steps = []
  const show = () => {
    const step = steps[Number(slider.value)]
    if (step === undefined) return
    const source = `api/runs/${run}/samples/step-${String(step).padStart(8, '0')}.png`
    if (image.getAttribute('src') !== source) image.src = source
    image.alt = `Generated images at step ${step}`
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
    find('.samples').hidden = false
    show()
  }
}
