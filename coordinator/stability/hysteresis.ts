import { z } from 'zod'

/** When an alarm is raised and when it is over. `raise` above `clear`: large values are bad; below: small ones are. */
export interface Rule {
  readonly raise: number
  readonly clear: number
  /** Values in a row that have to be beyond `raise`, and that have to be back on the other side of `clear`. */
  readonly raiseAfter: number
  readonly clearAfter: number
}

export const hysteresisSchema = z.object({
  raised: z.boolean(),
  /** Values in a row that speak for a change. */
  count: z.number(),
  /** Step of the first of the values that raised it, or may come to. */
  since: z.number(),
})
export type Hysteresis = Readonly<z.infer<typeof hysteresisSchema>>

export const atRest: Hysteresis = { raised: false, count: 0, since: 0 }

/** The next value. Between the two thresholds nothing changes, which keeps an alarm from fluttering (Schmitt 1938). */
export function observed(rule: Rule, { raised, count, since }: Hysteresis, step: number, value: number): Hysteresis {
  const high = rule.raise > rule.clear
  const bad = high ? value > rule.raise : value < rule.raise
  const good = high ? value < rule.clear : value > rule.clear
  const speaks = raised ? good : bad
  if (!speaks) return { raised, count: 0, since: raised ? since : 0 }
  const first = !raised && count === 0 ? step : since
  if (count + 1 < (raised ? rule.clearAfter : rule.raiseAfter)) return { raised, count: count + 1, since: first }
  return { raised: !raised, count: 0, since: raised ? 0 : first }
}
