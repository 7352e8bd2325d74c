const width = 13

/** One line of a table: numbers stand under each other. */
export function row(cells: readonly (string | number)[]): string {
  return `${cells.map((cell) => String(cell).padStart(width)).join('')}\n`
}
