import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu'

/** Of so many evaluations one is timed: a prime, so that the phases of a step are met in turn. Shaders are compiled before the first. */
const [every, first] = [101, 10]

/** Weight of a new time in the mean. */
const share = 0.1

/**
 * Seconds that a GPU's kernels take, by the device's own time stamps. With them each kernel is a command buffer of its own, which costs more than
 * it tells, so few evaluations are timed and the others are taken to last as long as their mean.
 */
export class KernelTimes {
  /** Of all evaluations, estimated; stays 0 where the device has no time stamps. */
  seconds = 0
  readonly #engine: WebGPUBackend
  readonly #able: boolean
  #evaluations = 0
  #mean: number | null = null
  #timing: Promise<void> | null = null

  constructor(engine: WebGPUBackend) {
    this.#engine = engine
    this.#able = engine.device.features.has('timestamp-query')
  }

  run<T>(evaluate: () => T): T {
    this.seconds += this.#mean ?? 0
    const due = this.#evaluations++ % every === first
    return this.#able && due && this.#timing === null ? this.#timed(evaluate) : evaluate()
  }

  /** The times that were asked for are there. */
  async settle(): Promise<void> {
    await this.#timing
    this.#timing = null
  }

  #timed<T>(evaluate: () => T): T {
    let outcome: () => T = evaluate
    const timing = this.#engine.time(() => {
      try {
        const made = evaluate()
        outcome = () => made
      } catch (error) {
        outcome = () => {
          throw error // the engine goes on timing if it sees an error
        }
      }
    })
    this.#timing = timing.then(({ kernelMs }) => {
      const seconds = Number(kernelMs) / 1000
      this.#mean = this.#mean === null ? seconds : this.#mean + share * (seconds - this.#mean)
    })
    this.#timing.catch(() => {}) // whoever settles hears of it
    return outcome()
  }
}
