/**
 * @typedef {{ workerSeconds: number, share: number, seconds: Record<string, number> }} Goodput
 */

/** What each part means, in the order in which the bar shows them. */
const parts = {
  useful: 'useful',
  recomputed: 'computed again',
  waiting: 'waiting for peers',
  reforming: 'forming again',
  paused: 'paused',
  starting: 'starting',
  other: 'between steps',
}

/**
 * Where the time of all workers went: one bar, all parts of it by name.
 * @param {import('./run-data.mjs').RunData} data
 * @param {(selector: string) => HTMLElement} find
 */
export function drawGoodput({ status }, find) {
  const goodput = status?.goodput
  const section = find('.goodput')
  section.hidden = !goodput || goodput.workerSeconds === 0
  if (!goodput || section.hidden) return
  const shares = Object.entries(parts).map(([part, label], index) => {
    const share = (goodput.seconds[part] ?? 0) / goodput.workerSeconds
    return { label: `${label} ${(100 * share).toFixed(1)} %`, share, color: `var(--c${index})` }
  })
  find('.goodput .bar').replaceChildren(
    ...shares.map(({ share, color }) => {
      const part = document.createElement('span')
      part.style.width = `${100 * share}%`
      part.style.background = color
      return part
    }),
  )
  find('.goodput .legend').replaceChildren(
    ...shares
      .filter(({ share }) => share > 0)
      .map(({ label, color }) => {
        const item = document.createElement('li')
        const swatch = document.createElement('i')
        swatch.style.background = color
        item.append(swatch, label)
        return item
      }),
  )
}
