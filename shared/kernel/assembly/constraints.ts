// AssemblyScript. What is done to gradients before an update, and to weights after it.

export function scale(target: usize, count: i32, factor: f32): void {
  const f = f32x4.splat(factor)
  const end = count & ~3
  let i = 0
  for (; i < end; i += 4) {
    const o = target + (<usize>i << 2)
    v128.store(o, f32x4.mul(v128.load(o), f))
  }
  for (; i < count; i++) {
    const o = target + (<usize>i << 2)
    store<f32>(o, load<f32>(o) * factor)
  }
}

export function clamp(target: usize, count: i32, bound: f32): void {
  const high = f32x4.splat(bound)
  const low = f32x4.splat(-bound)
  const end = count & ~3
  let i = 0
  for (; i < end; i += 4) {
    const o = target + (<usize>i << 2)
    v128.store(o, f32x4.min(f32x4.max(v128.load(o), low), high))
  }
  for (; i < count; i++) {
    const o = target + (<usize>i << 2)
    store<f32>(o, min(max(load<f32>(o), -bound), bound))
  }
}

export function mask(target: usize, source: usize, count: i32): void {
  const zero = f32x4.splat(0)
  const end = count & ~3
  let i = 0
  for (; i < end; i += 4) {
    const o = <usize>i << 2
    v128.store(target + o, v128.and(v128.load(target + o), f32x4.ne(v128.load(source + o), zero)))
  }
  for (; i < count; i++) {
    const o = <usize>i << 2
    if (load<f32>(source + o) == 0) store<f32>(target + o, 0)
  }
}

export function average(target: usize, source: usize, count: i32, decay: f32): void {
  const rest: f32 = <f32>1 - decay
  const r = f32x4.splat(rest)
  const end = count & ~3
  let i = 0
  for (; i < end; i += 4) {
    const o = <usize>i << 2
    const t = v128.load(target + o)
    v128.store(target + o, f32x4.add(t, f32x4.mul(r, f32x4.sub(v128.load(source + o), t))))
  }
  for (; i < count; i++) {
    const o = <usize>i << 2
    const t = load<f32>(target + o)
    store<f32>(target + o, t + rest * (load<f32>(source + o) - t))
  }
}

const smallest: f32 = 1e-12

export function powerIteration(matrix: usize, rows: i32, columns: i32, left: usize, right: usize): void {
  for (let row = 0; row < rows; row++)
    store<f32>(left + (<usize>row << 2), dot(matrix + (<usize>(row * columns) << 2), right, columns))
  normalize(left, rows)
  for (let column = 0; column < columns; column++) store<f32>(right + (<usize>column << 2), 0)
  for (let row = 0; row < rows; row++)
    addScaled(right, matrix + (<usize>(row * columns) << 2), columns, load<f32>(left + (<usize>row << 2)))
  normalize(right, columns)
}

function normalize(vector: usize, count: i32): void {
  const length: f32 = Mathf.sqrt(dot(vector, vector, count))
  scale(vector, count, <f32>1 / max(length, smallest))
}

function dot(a: usize, b: usize, count: i32): f32 {
  let sums = f32x4.splat(0)
  const end = count & ~3
  let i = 0
  for (; i < end; i += 4) {
    const o = <usize>i << 2
    sums = f32x4.add(sums, f32x4.mul(v128.load(a + o), v128.load(b + o)))
  }
  let sum: f32 = f32x4.extract_lane(sums, 0) + f32x4.extract_lane(sums, 1)
  sum += f32x4.extract_lane(sums, 2) + f32x4.extract_lane(sums, 3)
  for (; i < count; i++) {
    const o = <usize>i << 2
    sum += load<f32>(a + o) * load<f32>(b + o)
  }
  return sum
}

function addScaled(target: usize, source: usize, count: i32, factor: f32): void {
  const f = f32x4.splat(factor)
  const end = count & ~3
  let i = 0
  for (; i < end; i += 4) {
    const o = <usize>i << 2
    v128.store(target + o, f32x4.add(v128.load(target + o), f32x4.mul(v128.load(source + o), f)))
  }
  for (; i < count; i++) {
    const o = <usize>i << 2
    store<f32>(target + o, load<f32>(target + o) + load<f32>(source + o) * factor)
  }
}
