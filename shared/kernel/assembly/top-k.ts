// AssemblyScript. The largest values of a block, as compression.ts has it: `values` become what the receiver will decode.

/** How many magnitudes, as whole numbers, are `least` or more. NaN is larger than infinity, and that than any number. */
function countFrom(source: usize, count: i32, least: i32): i32 {
  const mask = i32x4.splat(0x7fffffff)
  const bound = i32x4.splat(least)
  const end = count & ~7
  let a = i32x4.splat(0)
  let b = i32x4.splat(0)
  for (let i = 0; i < end; i += 8) {
    const s = source + (<usize>i << 2)
    a = i32x4.sub(a, i32x4.ge_s(v128.and(v128.load(s), mask), bound))
    b = i32x4.sub(b, i32x4.ge_s(v128.and(v128.load(s, 16), mask), bound))
  }
  const sum = i32x4.add(a, b)
  let found = i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1) + i32x4.extract_lane(sum, 2) + i32x4.extract_lane(sum, 3)
  for (let i = end; i < count; i++) if ((load<i32>(source + (<usize>i << 2)) & 0x7fffffff) >= least) found++
  return found
}

/** The largest magnitude of which there are `kept` or more from there on, by bisection over the floats' bits. */
function threshold(source: usize, count: i32, kept: i32): i32 {
  let low = 0
  let high = 0x7fffffff
  while (high - low > 1) {
    const middle = low + ((high - low) >>> 1)
    const found = countFrom(source, count, middle)
    if (found == kept) return middle
    if (found > kept) low = middle
    else high = middle
  }
  return low
}

/**
 * The `kept` values of largest magnitude, 0 < kept ≤ count ≤ 65,536: `kept` positions (u16), then as many floats, both in order of
 * position; of equal ones the first. x = value + residual is what is chosen from; what is not chosen is the next residual.
 */
export function encodeTopK(values: usize, target: usize, count: i32, kept: i32, from: usize, to: usize): void {
  const end = <usize>(count & ~3) << 2
  for (let o: usize = 0; o < end; o += 16) v128.store(to + o, f32x4.add(v128.load(values + o), v128.load(from + o)))
  for (let o = end; o < <usize>count << 2; o += 4) store<f32>(to + o, load<f32>(values + o) + load<f32>(from + o))
  memory.fill(values, 0, <usize>count << 2)
  const least = threshold(to, count, kept)
  let equal = kept - countFrom(to, count, least + 1)
  let position = target
  let place = target + (<usize>kept << 1)
  const full = place
  const bound = i32x4.splat(least)
  const mask = i32x4.splat(0x7fffffff)
  for (let i = 0; i < count && position < full; i++) {
    const o = <usize>i << 2
    if ((i & 3) == 0 && i + 4 <= count && !v128.any_true(i32x4.ge_s(v128.and(v128.load(to + o), mask), bound))) {
      i += 3
      continue
    }
    const bits = load<i32>(to + o)
    const size = bits & 0x7fffffff
    if (size < least || (size == least && equal-- <= 0)) continue
    store<u16>(position, <u16>i)
    store<i32>(place, bits)
    store<i32>(values + o, bits)
    store<f32>(to + o, 0)
    position += 2
    place += 4
  }
}

/** Elements [first, last) of a block; 0 where nothing was sent. Positions outside are passed over. */
export function decodeTopK(target: usize, source: usize, kept: i32, first: i32, last: i32): void {
  memory.fill(target, 0, <usize>(last - first) << 2)
  const places = source + (<usize>kept << 1)
  for (let i = 0; i < kept; i++) {
    const at = <i32>load<u16>(source + (<usize>i << 1))
    if (at >= first && at < last) store<u32>(target + (<usize>(at - first) << 2), load<u32>(places + (<usize>i << 2)))
  }
}
