import { readFileSync } from 'node:fs'
import type { RunConfig } from '../../shared/core/config.ts'
import { labelClasses, type ModelSpec } from '../../shared/model/spec.ts'
import type { Backend, BoundParameters } from '../backend/backend.ts'
import type { Model } from '../model/model.ts'
import { rowsPerBlock } from '../step/fixed-latents.ts'
import { generateImages } from '../step/images.ts'
import type { ModelState } from '../step/model-state.ts'
import type { StepInputs } from '../step/step-inputs.ts'
import { classMetrics } from './class-metrics.ts'
import { type Classifier, classifierNetwork, openClassifier, ownClassifier } from './classifier.ts'
import { productsOn, squaredDistances } from './products.ts'
import type { Features } from './statistics.ts'

/** A latent dimension with fewer nats is not used: about Burda et al. 2016, section 5.2, who take 0.01 of the mean's variance. */
const activeNats = 0.01

/**
 * A look at what a model makes, in tens of milliseconds, from 100 samples of the same noise at every step beside as many training images:
 * how different the samples are, which digits the program's own classifier sees in them, and how many latent dimensions a VAE uses.
 * docs/stability.md has the formulas.
 */
export class Inspection {
  readonly #config: RunConfig
  readonly #model: Model
  readonly #state: ModelState
  readonly #backend: Backend
  readonly #bound: BoundParameters
  readonly #inputs: StepInputs
  #classifier: Classifier | null = null
  /** Mean distance between training images. */
  #spread = 0

  constructor(
    config: RunConfig,
    model: Model,
    state: ModelState,
    backend: Backend,
    bound: BoundParameters,
    inputs: StepInputs,
  ) {
    this.#config = config
    this.#model = model
    this.#state = state
    this.#backend = backend
    this.#bound = bound
    this.#inputs = inputs
  }

  /** `ids`: training images, of the batch that the last step read. */
  async figures(epoch: number, batch: Uint32Array): Promise<Record<string, number>> {
    const ids = [...batch.subarray(0, rowsPerBlock)]
    const pixels = (await this.#inputs.pixels(epoch, ids)).slice()
    return { ...(await this.#samples(pixels, ids.length)), ...(await this.#latents(pixels, ids)) }
  }

  async #samples(pixels: Float32Array, rows: number): Promise<Record<string, number>> {
    if (!this.#model.generate) return {}
    const { spec } = this.#model
    const values = await generateImages(
      this.#model,
      this.#state,
      this.#backend,
      this.#bound,
      rowsPerBlock,
      this.#config.seed,
    )
    const columns = values.length / rowsPerBlock
    const fakes = { values, rows: rowsPerBlock, columns }
    if (this.#spread === 0) {
      const [low, high] = spec.pixelRange
      const real = pixels.map((pixel) => (pixel - low) / (high - low))
      this.#spread = await this.#meanDistance({ values: real, rows, columns })
    }
    const diversity = this.#spread > 0 ? (await this.#meanDistance(fakes)) / this.#spread : 0
    return { diversity, ...(isDigits(this.#config, spec) ? await this.#classes(fakes) : {}) }
  }

  /** Mean Euclidean distance between the images of all pairs. */
  async #meanDistance(images: Features): Promise<number> {
    const { rows } = images
    let sum = 0
    for await (const { values } of squaredDistances(productsOn(this.#backend), images, images))
      for (const [at, square] of values.entries()) if (at % (rows + 1) !== 0) sum += Math.sqrt(square)
    return rows > 1 ? sum / (rows * (rows - 1)) : 0
  }

  /** `classEntropy`: of the histogram of classes, from 0 (one class) to 1 (all alike). */
  async #classes(fakes: Features): Promise<Record<string, number>> {
    this.#classifier ??= openClassifier(
      this.#backend,
      classifierNetwork(this.#model.spec.image),
      readFileSync(ownClassifier),
    )
    const { probabilities } = await this.#classifier.classify(fakes)
    const { histogram, modes } = classMetrics(probabilities)
    const entropy = histogram.reduce((sum, count) => {
      const p = count / fakes.rows
      return p > 0 ? sum - p * Math.log(p) : sum
    }, 0)
    return { modes, classEntropy: entropy / Math.log(histogram.length) }
  }

  /** Latent dimensions whose KL, meant over images, is above `activeNats`. */
  async #latents(pixels: Float32Array, ids: readonly number[]): Promise<Record<string, number>> {
    const { divergence, spec } = this.#model
    if (!divergence) return {}
    const { ops } = this.#backend
    const labels = spec.conditional ? await this.#inputs.labels(ids, labelClasses) : null
    const rows = ids.length
    const nats = await this.#backend.compute(() => {
      const images = ops.input(pixels, [rows, pixels.length / rows])
      const hot = labels && ops.input(labels, [rows, labelClasses])
      const each = divergence(ops, this.#bound.tensors, images, hot)
      return ops.scale(ops.sumTo(each, [1, spec.latentSize]), 1 / rows)
    })
    const activeUnits = nats.filter((value) => value > activeNats).length
    return { activeUnits, activeShare: activeUnits / spec.latentSize }
  }
}

/** What the program's own classifier knows. */
function isDigits({ dataset }: RunConfig, { image }: ModelSpec): boolean {
  return dataset === 'mnist' && image.height === 28 && image.width === 28 && image.channels === 1
}
