/**
 * A number in few characters: 12,345; 3.142; 4.2e-5.
 * @param {number | null | undefined} value
 */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  if (Number.isInteger(value) || size >= 1000) return Math.round(value).toLocaleString('en')
  return size !== 0 && size < 0.001 ? value.toExponential(2) : String(Number(value.toPrecision(4)))
}

/**
 * A time in the unit that suits it.
 * @param {number | null | undefined} value in seconds
 */
export function seconds(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–'
  if (value < 1) return `${Number((value * 1000).toPrecision(3))} ms`
  if (value < 120) return `${Number(value.toPrecision(3))} s`
  const minutes = Math.round(value / 60)
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/**
 * `discriminatorLoss` → `discriminator loss`, `phase/allReduce` → `all reduce`.
 * @param {string} name
 */
export function words(name) {
  return name
    .replace(/^.*\//, '')
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
}

/**
 * The time of day.
 * @param {string} time by ISO 8601
 */
export function clock(time) {
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? '' : date.toLocaleTimeString('en-GB')
}
