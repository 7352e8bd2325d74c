/** Falls linearly from `start` to 0 over so many epochs; 0: it stays. */
export function falling(start: number, epochs: number, over: number): number {
  return over === 0 ? start : start * Math.max(0, 1 - epochs / over)
}

/** Rises linearly from 0 to `end` over so many epochs; 0: it is there at once. */
export function rising(end: number, epochs: number, over: number): number {
  return over === 0 ? end : end * Math.min(1, epochs / over)
}
