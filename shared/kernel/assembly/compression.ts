// AssemblyScript. What gradients are sent as. Each encoder leaves in `values` what the receiver will decode, so that both
// hold the same bits, and encoding what was decoded gives the same bytes again. With a residual, x = value + residual is
// encoded and x − decoded is the next residual; `from` may be `to`; 0: none is kept. A residual that would not be finite is 0.

function finiteOr0(x: v128): v128 {
  return v128.and(x, f32x4.lt(f32x4.abs(x), f32x4.splat(Infinity)))
}

function withResidual(x: v128, from: usize): v128 {
  return from == 0 ? x : f32x4.add(x, v128.load(from))
}

function keep(to: usize, x: v128, decoded: v128): void {
  if (to != 0) v128.store(to, finiteOr0(f32x4.sub(x, decoded)))
}

/** bfloat16 in the low half of each lane: round to nearest even; NaN stays NaN. */
function toBf16(x: v128): v128 {
  const odd = v128.and(i32x4.shr_u(x, 16), i32x4.splat(1))
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(x, i32x4.splat(0x7fff)), odd), 16)
  const quiet = v128.or(i32x4.shr_u(x, 16), i32x4.splat(0x40))
  return v128.bitselect(rounded, quiet, f32x4.eq(x, x))
}

export function encodeBf16(values: usize, target: usize, count: i32): void {
  const end = count & ~7
  for (let i = 0; i < end; i += 8) {
    const v = values + (<usize>i << 2)
    const low = toBf16(v128.load(v))
    const high = toBf16(v128.load(v, 16))
    v128.store(v, i32x4.shl(low, 16))
    v128.store(v, i32x4.shl(high, 16), 16)
    v128.store(target + (<usize>i << 1), i16x8.narrow_i32x4_u(low, high))
  }
  for (let i = end; i < count; i++) {
    const v = values + (<usize>i << 2)
    const bits = i32x4.extract_lane(toBf16(i32x4.splat(load<i32>(v))), 0)
    store<i32>(v, bits << 16)
    store<u16>(target + (<usize>i << 1), <u16>bits)
  }
}

export function decodeBf16(target: usize, source: usize, count: i32): void {
  const end = count & ~7
  for (let i = 0; i < end; i += 8) {
    const bits = v128.load(source + (<usize>i << 1))
    const t = target + (<usize>i << 2)
    v128.store(t, i32x4.shl(i32x4.extend_low_i16x8_u(bits), 16))
    v128.store(t, i32x4.shl(i32x4.extend_high_i16x8_u(bits), 16), 16)
  }
  for (let i = end; i < count; i++) store<u32>(target + (<usize>i << 2), <u32>load<u16>(source + (<usize>i << 1)) << 16)
}

/**
 * IEEE binary16 in the low half of each lane: round to nearest even, denormals included (after F. Giesen's
 * float_to_half_fast3_rtne). What is finite stays so: beyond ±65504 it is that. NaN stays NaN.
 */
function toFp16(x: v128): v128 {
  const sign = v128.and(x, i32x4.splat(0x80000000))
  const whole = v128.xor(x, sign)
  const infinity = i32x4.splat(0x7f800000)
  const finite = i32x4.lt_s(whole, infinity)
  const a = i32x4.min_s(whole, i32x4.splat(0x477fe000))
  const half = i32x4.splat(126 << 23) // 0.5, whose last place is 2⁻²⁴
  const denormal = i32x4.sub(f32x4.add(a, half), half)
  const odd = v128.and(i32x4.shr_u(a, 13), i32x4.splat(1))
  const normal = i32x4.shr_u(i32x4.add(i32x4.add(a, i32x4.splat(0xfff - (112 << 23))), odd), 13)
  const number = v128.bitselect(denormal, normal, i32x4.lt_s(a, i32x4.splat(113 << 23)))
  const special = v128.or(i32x4.splat(0x7c00), v128.and(i32x4.gt_s(whole, infinity), i32x4.splat(0x200)))
  return v128.or(v128.bitselect(number, special, finite), i32x4.shr_u(sign, 16))
}

/** No arithmetic on denormal floats, which is slow: a denormal half is 2⁻¹⁴ (1 + m) − 2⁻¹⁴. */
function ofFp16(half: v128): v128 {
  const sign = i32x4.shl(v128.and(half, i32x4.splat(0x8000)), 16)
  const bits = i32x4.shl(v128.and(half, i32x4.splat(0x7fff)), 13)
  const normal = i32x4.add(bits, i32x4.splat(112 << 23))
  const denormal = f32x4.sub(i32x4.add(bits, i32x4.splat(113 << 23)), i32x4.splat(113 << 23))
  const special = i32x4.add(bits, i32x4.splat(224 << 23))
  const number = v128.bitselect(denormal, normal, i32x4.lt_s(bits, i32x4.splat(0x400 << 13)))
  return v128.or(v128.bitselect(special, number, i32x4.gt_s(bits, i32x4.splat(0x7bff << 13))), sign)
}

export function encodeFp16(values: usize, target: usize, count: i32, from: usize, to: usize): void {
  const end = count & ~7
  let i = 0
  for (; i < end; i += 8) {
    const o = <usize>i << 2
    const x0 = withResidual(v128.load(values + o), from == 0 ? 0 : from + o)
    const x1 = withResidual(v128.load(values + o, 16), from == 0 ? 0 : from + o + 16)
    const h0 = toFp16(x0)
    const h1 = toFp16(x1)
    v128.store(target + (<usize>i << 1), i16x8.narrow_i32x4_u(h0, h1))
    const d0 = ofFp16(h0)
    const d1 = ofFp16(h1)
    v128.store(values + o, d0)
    v128.store(values + o, d1, 16)
    keep(to == 0 ? 0 : to + o, x0, d0)
    keep(to == 0 ? 0 : to + o + 16, x1, d1)
  }
  for (; i < count; i++) {
    const o = <usize>i << 2
    const value = load<f32>(values + o)
    const x = f32x4.splat(from == 0 ? value : value + load<f32>(from + o)) // −0 stays −0 without a residual
    const h = toFp16(x)
    const d = ofFp16(h)
    store<u16>(target + (<usize>i << 1), <u16>i32x4.extract_lane(h, 0))
    store<f32>(values + o, f32x4.extract_lane(d, 0))
    if (to != 0) store<f32>(to + o, f32x4.extract_lane(finiteOr0(f32x4.sub(x, d)), 0))
  }
}

export function decodeFp16(target: usize, source: usize, count: i32): void {
  const end = count & ~7
  for (let i = 0; i < end; i += 8) {
    const bits = v128.load(source + (<usize>i << 1))
    const t = target + (<usize>i << 2)
    v128.store(t, ofFp16(i32x4.extend_low_i16x8_u(bits)))
    v128.store(t, ofFp16(i32x4.extend_high_i16x8_u(bits)), 16)
  }
  for (let i = end; i < count; i++) {
    const half = i32x4.splat(load<u16>(source + (<usize>i << 1)))
    store<f32>(target + (<usize>i << 2), f32x4.extract_lane(ofFp16(half), 0))
  }
}

function magnitude(x: v128): v128 {
  return v128.and(x, i32x4.splat(0x7fffffff))
}

function largestLane(x: v128): i32 {
  const two = i32x4.max_s(x, v128.shuffle<i32>(x, x, 2, 3, 0, 1))
  return i32x4.extract_lane(i32x4.max_s(two, v128.shuffle<i32>(two, two, 1, 0, 3, 2)), 0)
}

const noNumber: u8 = 255
/** A block whose largest exponent is below counts as 0: its scale would not be a normal float. */
const leastExponent: i32 = 8

/** x · 2^(133 − exponent) to the nearest whole number, −127 … 127; what is added makes −0 to 0, as it is decoded. */
function toInt8(x: v128, scale: v128): v128 {
  const whole = f32x4.add(f32x4.nearest(f32x4.mul(x, scale)), f32x4.splat(0))
  return f32x4.max(f32x4.min(whole, f32x4.splat(127)), f32x4.splat(-127))
}

/**
 * Blocks of 16 signed bytes behind one byte of exponent, as MXINT8 of the OCP Microscaling formats 1.0 (which has blocks of 32):
 * value = q · 2^(exponent − 133). Scales that are powers of two make decoding exact, and encoding again too. A block with a number
 * that is not finite is all NaN.
 */
export function encodeInt8(values: usize, target: usize, count: i32, from: usize, to: usize): void {
  const end = count & ~15
  let i = 0
  for (; i < end; i += 16) {
    const v = values + (<usize>i << 2)
    const f = from == 0 ? 0 : from + (<usize>i << 2)
    const r = to == 0 ? 0 : to + (<usize>i << 2)
    const x0 = withResidual(v128.load(v), f)
    const x1 = withResidual(v128.load(v, 16), f == 0 ? 0 : f + 16)
    const x2 = withResidual(v128.load(v, 32), f == 0 ? 0 : f + 32)
    const x3 = withResidual(v128.load(v, 48), f == 0 ? 0 : f + 48)
    const most = largestLane(i32x4.max_s(i32x4.max_s(magnitude(x0), magnitude(x1)), i32x4.max_s(magnitude(x2), magnitude(x3))))
    const exponent = most >> 23
    const ok = exponent < 255 && exponent >= leastExponent
    const scale = i32x4.splat(ok ? (260 - exponent) << 23 : 0)
    const unit = i32x4.splat(ok ? (exponent - 6) << 23 : exponent == 255 ? 0x7fc00000 : 0)
    const q0 = ok ? toInt8(x0, scale) : scale
    const q1 = ok ? toInt8(x1, scale) : scale
    const q2 = ok ? toInt8(x2, scale) : scale
    const q3 = ok ? toInt8(x3, scale) : scale
    const low = i16x8.narrow_i32x4_s(i32x4.trunc_sat_f32x4_s(q0), i32x4.trunc_sat_f32x4_s(q1))
    const high = i16x8.narrow_i32x4_s(i32x4.trunc_sat_f32x4_s(q2), i32x4.trunc_sat_f32x4_s(q3))
    const t = target + <usize>(i >> 4) * 17
    store<u8>(t, exponent == 255 ? noNumber : ok ? <u8>exponent : 0)
    v128.store(t, i8x16.narrow_i16x8_s(low, high), 1)
    const d0 = f32x4.mul(q0, unit)
    const d1 = f32x4.mul(q1, unit)
    const d2 = f32x4.mul(q2, unit)
    const d3 = f32x4.mul(q3, unit)
    v128.store(v, d0)
    v128.store(v, d1, 16)
    v128.store(v, d2, 32)
    v128.store(v, d3, 48)
    if (r == 0) continue
    keep(r, x0, d0)
    keep(r + 16, x1, d1)
    keep(r + 32, x2, d2)
    keep(r + 48, x3, d3)
  }
  if (i < count) encodeShortInt8(values + (<usize>i << 2), target + <usize>(i >> 4) * 17, count - i, from == 0 ? 0 : from + (<usize>i << 2), to == 0 ? 0 : to + (<usize>i << 2))
}

/** A last block of fewer than 16. */
function encodeShortInt8(values: usize, target: usize, count: i32, from: usize, to: usize): void {
  let most = 0
  for (let o: usize = 0; o < <usize>count << 2; o += 4) {
    const x = load<f32>(values + o) + (from == 0 ? 0 : load<f32>(from + o))
    store<f32>(values + o, x)
    most = max(most, reinterpret<i32>(x) & 0x7fffffff)
  }
  const exponent = most >> 23
  const ok = exponent < 255 && exponent >= leastExponent
  const scale = i32x4.splat(ok ? (260 - exponent) << 23 : 0)
  const unit = reinterpret<f32>(ok ? (exponent - 6) << 23 : exponent == 255 ? 0x7fc00000 : 0)
  store<u8>(target, exponent == 255 ? noNumber : ok ? <u8>exponent : 0)
  for (let i = 0; i < count; i++) {
    const o = <usize>i << 2
    const x = load<f32>(values + o)
    const q: f32 = ok ? f32x4.extract_lane(toInt8(f32x4.splat(x), scale), 0) : 0
    const d = q * unit
    store<i8>(target + 1 + <usize>i, <i8>q)
    store<f32>(values + o, d)
    if (to != 0) store<f32>(to + o, f32x4.extract_lane(finiteOr0(f32x4.splat(x - d)), 0))
  }
}

export function decodeInt8(target: usize, source: usize, count: i32): void {
  for (let i = 0; i < count; i += 16) {
    const s = source + <usize>(i >> 4) * 17
    const exponent = <i32>load<u8>(s)
    const ok = exponent < 255 && exponent >= leastExponent
    const unit = i32x4.splat(ok ? (exponent - 6) << 23 : exponent == 255 ? 0x7fc00000 : 0)
    const t = target + (<usize>i << 2)
    if (i + 16 > count) {
      for (let j = 0; j < count - i; j++) store<f32>(t + (<usize>j << 2), <f32>load<i8>(s + 1 + <usize>j) * f32x4.extract_lane(unit, 0))
      return
    }
    const bytes = v128.load(s, 1)
    const low = i16x8.extend_low_i8x16_s(bytes)
    const high = i16x8.extend_high_i8x16_s(bytes)
    v128.store(t, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)), unit))
    v128.store(t, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), unit), 16)
    v128.store(t, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), unit), 32)
    v128.store(t, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), unit), 48)
  }
}
