import { Matrix } from 'ml-matrix'
import { assert } from '../../shared/core/errors.ts'
import type { Split } from '../../shared/dataset/image-dataset.ts'

/** Rows of features, one behind the other. */
export interface Features {
  readonly values: Float32Array
  readonly rows: number
  readonly columns: number
}

export interface Moments {
  readonly mean: Float64Array
  /** Unbiased: divided by rows − 1. */
  readonly covariance: Matrix
}

/** Mean and covariance in float64. */
export function momentsOf({ values, rows, columns }: Features): Moments {
  assert(rows >= 2, 'a covariance needs two rows')
  const mean = new Float64Array(columns)
  for (let at = 0; at < values.length; at++) mean[at % columns] = (mean[at % columns] ?? 0) + (values[at] ?? 0) / rows
  const sums = new Float64Array(columns * columns)
  const centred = new Float64Array(columns)
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < columns; i++) centred[i] = (values[row * columns + i] ?? 0) - (mean[i] ?? 0)
    for (let i = 0; i < columns; i++) {
      const left = centred[i] ?? 0
      if (left !== 0)
        for (let j = i; j < columns; j++)
          sums[i * columns + j] = (sums[i * columns + j] ?? 0) + left * (centred[j] ?? 0)
    }
  }
  const covariance = Matrix.zeros(columns, columns)
  for (let i = 0; i < columns; i++)
    for (let j = i; j < columns; j++) {
      const value = (sums[i * columns + j] ?? 0) / (rows - 1)
      covariance.set(i, j, value)
      covariance.set(j, i, value)
    }
  return { mean, covariance }
}

/** Images [count, pixels] in 0…1. */
export function imagesOf({ images, count }: Split): Features {
  const values = new Float32Array(images.length)
  for (let at = 0; at < images.length; at++) values[at] = (images[at] ?? 0) / 255
  return { values, rows: count, columns: images.length / count }
}

/** Some rows, in the order given. */
export function rowsOf({ values, columns }: Features, ids: ArrayLike<number>): Features {
  const picked = new Float32Array(ids.length * columns)
  for (let row = 0; row < ids.length; row++) {
    const start = (ids[row] ?? 0) * columns
    picked.set(values.subarray(start, start + columns), row * columns)
  }
  return { values: picked, rows: ids.length, columns }
}
