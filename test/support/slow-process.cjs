// Loaded into a worker by `node --require`: makes its main thread slow in the way that the file named by SLOW_PROCESS says now.
// `compute`: it computes for longer. `data`: samples come late. `garbage collection`: it holds many objects, and collects often. `stall`: it stands still
// for as long as the file says so. `half`: it computes at half its speed, however much it has to compute.
const { existsSync, readFileSync } = require('node:fs')
const { setFlagsFromString } = require('node:v8')
const { runInNewContext } = require('node:vm')
const { isMainThread } = require('node:worker_threads')

const slowMs = 150
const mostStallMs = 30_000
/** Between two of them: about a step. */
const everyMs = 20
/** `half`: of a longer pause it knows nothing; it has waited for others. */
const mostHalfMs = 200
const chunkBytes = 100_000

const file = process.env.SLOW_PROCESS
if (isMainThread && file) {
  let mode = ''
  let kept = []
  let over = 0
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc')
  setInterval(() => {
    mode = existsSync(file) ? readFileSync(file, 'utf8') : ''
    if (mode !== 'garbage collection') kept = []
    else if (kept.length === 0) kept = Array.from({ length: 400_000 }, (_, index) => ({ index }))
  }, 50).unref()
  const slow = (work) => {
    if (performance.now() - over < everyMs) return
    work()
    over = performance.now()
  }
  for (const prototype of [Object.getPrototypeOf(Uint8Array.prototype), Buffer.prototype]) {
    const { subarray } = prototype
    prototype.subarray = function (...range) {
      if (mode === 'data' && this instanceof Uint8Array && this.byteLength >= chunkBytes) slow(sleep)
      return subarray.apply(this, range)
    }
  }
  const works = { compute: burn, 'garbage collection': () => collected(collect), stall: () => stall(file) }
  const { map } = Array.prototype
  // In the middle of a backward pass.
  Array.prototype.map = function (...how) {
    if (mode === 'half' && new Error().stack?.includes('/autodiff/')) {
      const now = performance.now()
      if (now - over < mostHalfMs) burn(now - over)
      over = performance.now()
    }
    const work = works[mode]
    if (work && performance.now() - over >= everyMs && new Error().stack?.includes('/autodiff/')) slow(work)
    return map.apply(this, how)
  }
}

function sleep() {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, slowMs)
}

function stall(file) {
  for (let waited = 0; existsSync(file) && waited < mostStallMs; waited += slowMs) sleep()
}

function collected(collect) {
  const until = performance.now() + slowMs
  while (performance.now() < until) collect()
}

function burn(ms = slowMs) {
  const until = performance.now() + ms
  while (performance.now() < until);
}
