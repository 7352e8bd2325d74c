/** Values of a bucket, one entry for each bucket; null where no line of it has the value. */
export interface Column {
  readonly mean: readonly (number | null)[]
  readonly min: readonly (number | null)[]
  readonly max: readonly (number | null)[]
}

/** What came since a cursor: the reader drops its buckets from `from` on, and takes these in their place. */
export interface SeriesUpdate {
  readonly from: number
  /** First step of each bucket. */
  readonly steps: readonly number[]
  readonly columns: Readonly<Record<string, Column>>
}

export interface SeriesCursor {
  readonly revision: number
  readonly buckets: number
  readonly lines: number
}

interface Sums {
  sum: number
  count: number
  min: number
  max: number
}

/** More columns than any model has losses. */
const maxColumns = 64

/**
 * Down-samples a series of any length while it grows. A bucket keeps mean, minimum and maximum of its lines, so that no
 * peak is lost; when there are twice as many buckets as wanted, neighbours become one. Memory does not grow. Pure.
 */
export class Buckets {
  readonly #maximum: number
  #width = 1
  #linesInLast = 0
  #lines = 0
  #revision = 0
  #steps: number[] = []
  readonly #columns = new Map<string, (Sums | undefined)[]>()

  /** `wanted`: there are from so many to twice as many buckets once there are enough lines. */
  constructor(wanted: number) {
    this.#maximum = 2 * wanted
  }

  add(step: number, values: Readonly<Record<string, number>>): void {
    if (this.#steps.length === 0 || this.#linesInLast === this.#width) this.#open(step)
    this.#linesInLast++
    this.#lines++
    const bucket = this.#steps.length - 1
    for (const [name, value] of Object.entries(values)) {
      if (!Number.isFinite(value)) continue
      const column = this.#column(name)
      if (column) column[bucket] = merged(column[bucket], { sum: value, count: 1, min: value, max: value })
    }
  }

  /** Starts anew: steps are computed again. */
  clear(): void {
    this.#steps = []
    this.#columns.clear()
    this.#width = 1
    this.#linesInLast = 0
    this.#revision++
  }

  get cursor(): SeriesCursor {
    return { revision: this.#revision, buckets: this.#steps.length, lines: this.#lines }
  }

  /** Null: nothing is new. Without a cursor: everything. */
  since(cursor: SeriesCursor | null): SeriesUpdate | null {
    const same = cursor?.revision === this.#revision
    if (same && cursor.lines === this.#lines) return null
    const from = same ? Math.max(0, cursor.buckets - 1) : 0 // its last bucket may have been open
    const columns = [...this.#columns].map(([name, column]) => [name, this.#told(column, from)] as const)
    return { from, steps: this.#steps.slice(from), columns: Object.fromEntries(columns) }
  }

  #open(step: number): void {
    if (this.#steps.length === this.#maximum) this.#halve()
    this.#steps.push(step)
    this.#linesInLast = 0
  }

  #halve(): void {
    this.#steps = this.#steps.filter((_, index) => index % 2 === 0)
    for (const [name, column] of this.#columns)
      this.#columns.set(
        name,
        this.#steps.map((_, index) => merged(column[2 * index], column[2 * index + 1])),
      )
    this.#width *= 2
    this.#revision++
  }

  #column(name: string): (Sums | undefined)[] | undefined {
    const column = this.#columns.get(name)
    if (column || this.#columns.size === maxColumns) return column
    const fresh: (Sums | undefined)[] = []
    this.#columns.set(name, fresh)
    return fresh
  }

  #told(column: readonly (Sums | undefined)[], from: number): Column {
    const rest = this.#steps.slice(from).map((_, index) => column[from + index])
    return {
      mean: rest.map((sums) => (sums ? short(sums.sum / sums.count) : null)),
      min: rest.map((sums) => (sums ? short(sums.min) : null)),
      max: rest.map((sums) => (sums ? short(sums.max) : null)),
    }
  }
}

function merged(a: Sums | undefined, b: Sums | undefined): Sums | undefined {
  if (!a || !b) return a ?? b
  return {
    sum: a.sum + b.sum,
    count: a.count + b.count,
    min: Math.min(a.min, b.min),
    max: Math.max(a.max, b.max),
  }
}

/** Five digits are more than a screen shows, and half of the bytes. */
function short(value: number): number {
  return Number(value.toPrecision(5))
}
