import { type GoodputFigures, goodputParts } from '../coordinator/goodput/parts.ts'

/** Where the time of all workers went, in a line; the largest part first. */
export function describeGoodput({ workerSeconds, share, seconds }: GoodputFigures): string {
  const percent = (part: number) => `${(100 * part).toFixed(1)} %`
  const rest = goodputParts
    .filter((part) => part !== 'useful' && seconds[part] > 0)
    .sort((a, b) => seconds[b] - seconds[a])
    .map((part) => `${part} ${percent(seconds[part] / workerSeconds)}`)
  const useful = `goodput: ${percent(share)} of ${workerSeconds.toFixed(1)} worker-seconds were useful`
  return rest.length === 0 ? useful : `${useful}; ${rest.join(', ')}`
}
