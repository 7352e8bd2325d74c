/** Whether to write colours there: to a terminal, unless NO_COLOR is set to anything (no-color.org) or it has none. */
export function usesColor(output: { readonly isTTY?: boolean }, environment = process.env): boolean {
  return output.isTTY === true && !environment.NO_COLOR && environment.TERM !== 'dumb'
}
