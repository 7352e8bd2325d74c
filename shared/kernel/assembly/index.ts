// AssemblyScript. Kernels over byte offsets of the imported shared memory. No fused multiply-add and no relaxed SIMD:
// the same bits on every host.

export * from './compression'
export * from './top-k'

export function add(target: usize, source: usize, count: i32): void {
  const end4 = count & ~15
  let i = 0
  for (; i < end4; i += 16) {
    const o = <usize>i << 2
    v128.store(target + o, f32x4.add(v128.load(target + o), v128.load(source + o)))
    v128.store(target + o, f32x4.add(v128.load(target + o, 16), v128.load(source + o, 16)), 16)
    v128.store(target + o, f32x4.add(v128.load(target + o, 32), v128.load(source + o, 32)), 32)
    v128.store(target + o, f32x4.add(v128.load(target + o, 48), v128.load(source + o, 48)), 48)
  }
  for (; i < count; i++) {
    const o = <usize>i << 2
    store<f32>(target + o, load<f32>(target + o) + load<f32>(source + o))
  }
}

export { average, clamp, mask, powerIteration, scale } from './constraints'

/** Bytes to floats: x · factor + shift. */
export function scaleBytes(target: usize, source: usize, count: i32, factor: f32, shift: f32): void {
  const f = f32x4.splat(factor)
  const s = f32x4.splat(shift)
  const end = count & ~15
  let i = 0
  for (; i < end; i += 16) {
    const bytes = v128.load(source + <usize>i)
    const low = i16x8.extend_low_i8x16_u(bytes)
    const high = i16x8.extend_high_i8x16_u(bytes)
    const o = target + (<usize>i << 2)
    v128.store(o, f32x4.add(f32x4.mul(f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(low)), f), s))
    v128.store(o, f32x4.add(f32x4.mul(f32x4.convert_i32x4_u(i32x4.extend_high_i16x8_u(low)), f), s), 16)
    v128.store(o, f32x4.add(f32x4.mul(f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(high)), f), s), 32)
    v128.store(o, f32x4.add(f32x4.mul(f32x4.convert_i32x4_u(i32x4.extend_high_i16x8_u(high)), f), s), 48)
  }
  for (; i < count; i++) store<f32>(target + (<usize>i << 2), <f32>load<u8>(source + <usize>i) * factor + shift)
}

/**
 * Σ x²: runs of 64 in float32, which are added up in float64, in a fixed order. NaN and Inf come through. Four quarters are read side by
 * side: one stream alone waits for the memory three times as long.
 */
export function sumSquares(source: usize, count: i32): f64 {
  const quarter = (count >> 4) << 2
  const step = <usize>quarter << 2
  let all = f64x2.splat(0)
  for (let run = 0; run < quarter; run += 256) {
    const end = min(quarter, run + 256)
    let s0 = f32x4.splat(0)
    let s1 = f32x4.splat(0)
    let s2 = f32x4.splat(0)
    let s3 = f32x4.splat(0)
    for (let i = run; i < end; i += 4) {
      const o = source + (<usize>i << 2)
      s0 = f32x4.add(s0, squares(v128.load(o)))
      s1 = f32x4.add(s1, squares(v128.load(o + step)))
      s2 = f32x4.add(s2, squares(v128.load(o + 2 * step)))
      s3 = f32x4.add(s3, squares(v128.load(o + 3 * step)))
    }
    all = f64x2.add(all, f64x2.add(f64x2.add(wide(s0), wide(s1)), f64x2.add(wide(s2), wide(s3))))
  }
  let sum = f64x2.extract_lane(all, 0) + f64x2.extract_lane(all, 1)
  for (let i = 4 * quarter; i < count; i++) {
    const x = <f64>load<f32>(source + (<usize>i << 2))
    sum += x * x
  }
  return sum
}

/** Two of the four sums each. */
function wide(sums: v128): v128 {
  const high = v128.shuffle<i32>(sums, sums, 2, 3, 2, 3)
  return f64x2.add(f64x2.promote_low_f32x4(sums), f64x2.promote_low_f32x4(high))
}

/** What has a square that is no normal float32 counts as 0: arithmetic on it is tens of times slower. */
const squareless: f32 = 1e-18

function squares(x: v128): v128 {
  const normal = v128.andnot(x, f32x4.le(f32x4.abs(x), f32x4.splat(squareless)))
  return f32x4.mul(normal, normal)
}

/**
 * Moments of weights whose gradient has become 0 fall towards it by a factor a step and stay for ever in the denormal numbers,
 * where arithmetic is tens of times slower. So small they do not move a weight: they count as 0.
 */
const tiny: f32 = 1e-34

function flushed(x: v128): v128 {
  return v128.andnot(x, f32x4.le(f32x4.abs(x), f32x4.splat(tiny)))
}

/**
 * Adam (Kingma & Ba 2015, algorithm 1): m ← β₁ m + (1−β₁) g; v ← β₂ v + (1−β₂) g²;
 * w ← w − stepSize · m / (√v · inverseRoot + ε), stepSize = rate / (1−β₁ᵗ), inverseRoot = 1 / √(1−β₂ᵗ).
 * `count` is a multiple of 4. Both halves are gone through side by side: more of the memory's time is used. What is new goes `to` so many bytes behind
 * what it comes from; with 0 in its place.
 */
export function adam(weights: usize, gradient: usize, m: usize, v: usize, count: i32, stepSize: f32, inverseRoot: f32, beta1: f32, beta2: f32, epsilon: f32, to: usize): void {
  const half = (count >> 3) << 2
  const step = <usize>half << 2
  const b1 = f32x4.splat(beta1)
  const c1 = f32x4.splat(<f32>1 - beta1)
  const b2 = f32x4.splat(beta2)
  const c2 = f32x4.splat(<f32>1 - beta2)
  const size = f32x4.splat(stepSize)
  const root = f32x4.splat(inverseRoot)
  const e = f32x4.splat(epsilon)
  for (let i = 0; i < half; i += 4) {
    const o = <usize>i << 2
    adamAt(o, weights, gradient, m, v, size, root, b1, c1, b2, c2, e, to)
    adamAt(o + step, weights, gradient, m, v, size, root, b1, c1, b2, c2, e, to)
  }
  for (let i = 2 * half; i < count; i += 4) adamAt(<usize>i << 2, weights, gradient, m, v, size, root, b1, c1, b2, c2, e, to)
}

@inline
function adamAt(o: usize, weights: usize, gradient: usize, m: usize, v: usize, size: v128, root: v128, b1: v128, c1: v128, b2: v128, c2: v128, e: v128, to: usize): void {
  const g = v128.load(gradient + o)
  const mm = flushed(f32x4.add(f32x4.mul(b1, v128.load(m + o)), f32x4.mul(c1, g)))
  const vv = flushed(f32x4.add(f32x4.mul(b2, v128.load(v + o)), f32x4.mul(c2, f32x4.mul(g, g))))
  v128.store(m + o + to, mm)
  v128.store(v + o + to, vv)
  const denominator = f32x4.add(f32x4.mul(f32x4.sqrt(vv), root), e)
  v128.store(weights + o + to, f32x4.sub(v128.load(weights + o), f32x4.div(f32x4.mul(size, mm), denominator)))
}

/** RMSprop (Tieleman & Hinton 2012, as PyTorch has it): v ← α v + (1−α) g²; w ← w − rate · g / (√v + ε). */
export function rmsprop(weights: usize, gradient: usize, v: usize, count: i32, rate: f32, alpha: f32, epsilon: f32, to: usize): void {
  const a = f32x4.splat(alpha)
  const c = f32x4.splat(<f32>1 - alpha)
  const r = f32x4.splat(rate)
  const e = f32x4.splat(epsilon)
  for (let i = 0; i < count; i += 4) {
    const o = <usize>i << 2
    const g = v128.load(gradient + o)
    const vv = flushed(f32x4.add(f32x4.mul(a, v128.load(v + o)), f32x4.mul(c, f32x4.mul(g, g))))
    v128.store(v + o + to, vv)
    v128.store(weights + o + to, f32x4.sub(v128.load(weights + o), f32x4.div(f32x4.mul(r, g), f32x4.add(f32x4.sqrt(vv), e))))
  }
}

/** SGD with momentum: b ← momentum · b + g; w ← w − rate · b. */
export function sgd(weights: usize, gradient: usize, buffer: usize, count: i32, rate: f32, momentum: f32, to: usize): void {
  const r = f32x4.splat(rate)
  const k = f32x4.splat(momentum)
  for (let i = 0; i < count; i += 4) {
    const o = <usize>i << 2
    const b = flushed(f32x4.add(f32x4.mul(k, v128.load(buffer + o)), v128.load(gradient + o)))
    v128.store(buffer + o + to, b)
    v128.store(weights + o + to, f32x4.sub(v128.load(weights + o), f32x4.mul(r, b)))
  }
}

let o0: u32 = 0
let o1: u32 = 0
let o2: u32 = 0
let o3: u32 = 0

/** Philox4x32-10 (Salmon et al., SC'11): key (k0, k1), counter (block, stream, step, lane). */
function philox(k0: u32, k1: u32, c0: u32, c1: u32, c2: u32, c3: u32): void {
  for (let round = 0; round < 10; round++) {
    const p0 = <u64>0xd2511f53 * <u64>c0
    const p1 = <u64>0xcd9e8d57 * <u64>c2
    const n0 = <u32>(p1 >> 32) ^ c1 ^ k0
    const n2 = <u32>(p0 >> 32) ^ c3 ^ k1
    c1 = <u32>p1
    c3 = <u32>p0
    c0 = n0
    c2 = n2
    k0 += 0x9e3779b9
    k1 += 0xbb67ae85
  }
  o0 = c0
  o1 = c1
  o2 = c2
  o3 = c3
}

export function philoxU32(target: usize, count: i32, k0: u32, k1: u32, stream: u32, step: u32, lane: u32): void {
  for (let i = 0; i < count; i += 4) {
    philox(k0, k1, <u32>(i >> 2), stream, step, lane)
    const t = target + (<usize>i << 2)
    store<u32>(t, o0)
    if (i + 1 < count) store<u32>(t, o1, 4)
    if (i + 2 < count) store<u32>(t, o2, 8)
    if (i + 3 < count) store<u32>(t, o3, 12)
  }
}

function unit(x: u32): f32 {
  return <f32>(x >>> 8) * <f32>5.9604644775390625e-8 // 24 bits, [0, 1)
}

export function philoxUniform(target: usize, count: i32, k0: u32, k1: u32, stream: u32, step: u32, lane: u32): void {
  philoxU32(target, count, k0, k1, stream, step, lane)
  for (let i = 0; i < count; i++) {
    const t = target + (<usize>i << 2)
    store<f32>(t, unit(load<u32>(t)))
  }
}

/** Standard normals by Box & Muller 1958; each block of four is a pure function of key and counter. */
export function philoxNormal(target: usize, count: i32, k0: u32, k1: u32, stream: u32, step: u32, lane: u32): void {
  for (let i = 0; i < count; i += 4) {
    philox(k0, k1, <u32>(i >> 2), stream, step, lane)
    const t = target + (<usize>i << 2)
    const a0 = o0
    const a1 = o1
    const a2 = o2
    const a3 = o3
    pair(t, a0, a1, count - i)
    if (i + 2 < count) pair(t + 8, a2, a3, count - i - 2)
  }
}

function pair(t: usize, a: u32, b: u32, left: i32): void {
  const u = (<f64>a + 0.5) * 2.3283064365386963e-10 // (0, 1)
  const angle = <f64>b * 1.4629180792671596e-9 // 2π / 2³²
  const radius = Math.sqrt(-2.0 * NativeMath.log(u))
  store<f32>(t, <f32>(radius * NativeMath.cos(angle)))
  if (left > 1) store<f32>(t, <f32>(radius * NativeMath.sin(angle)), 4)
}
