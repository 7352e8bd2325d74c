/** The same numbers in [0, 1) at every run (Park & Miller 1988). */
export function randomUnits(count: number, seed = 1): number[] {
  let state = seed
  return Array.from({ length: count }, () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  })
}
