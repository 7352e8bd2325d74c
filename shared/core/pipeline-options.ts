import type { RunConfig } from './config.ts'
import { usage } from './errors.ts'
import { limits } from './limits.ts'

/** Micro-batches for each stage, where nobody says how many: enough to make bubbles small (Huang et al. 2019, section 2.2). */
const microBatchesPerStage = 4

/** Micro-batches of an unchecked config whose user has not said how many; `lanes`: those that the user has asked for. */
export function usualMicroBatches(config: Readonly<Record<string, unknown>>, lanes: number = limits.maxLanes): number {
  const stages = Number(config.pipelineStages)
  if (!(stages > 1)) return 1
  const replicas = Math.max(1, Math.floor(Number(config.maxWorkers) / stages))
  const most = Math.floor(Math.min(Number(config.batchSize), lanes) / replicas)
  return Math.max(1, Math.min(microBatchesPerStage * stages, most))
}

/** Refuses what a pipeline cannot do. The group has a whole number of pipelines at all times. */
export function checkPipeline(config: RunConfig): void {
  const { pipelineStages: stages, maxWorkers, description } = config
  if (stages === 1) return
  const flag = `--pipeline-stages ${stages}`
  if (description.family === 'classifier')
    throw usage(`${flag} splits the layers of a VAE or a GAN; model ${description.name} is none, so leave it out`)
  if (maxWorkers % stages !== 0) {
    const [below, above] = [Math.floor(maxWorkers / stages) * stages, Math.ceil(maxWorkers / stages) * stages]
    throw usage(
      `${flag}: ${maxWorkers} workers make no whole number of pipelines; write ${below > 0 ? `${below} or ` : ''}${above} workers`,
    )
  }
  config.minWorkers = Math.ceil(Math.min(config.minWorkers, maxWorkers) / stages) * stages
  if (config.compression !== 'none')
    throw usage(`${flag}: gradients of a stage travel as they are; write --compression none`)
  if (Object.keys(config.prune).length > 0) throw usage(`${flag} and --prune exclude each other; leave one out`)
  if (config.algorithm === 'star' || config.algorithm === 'hierarchical')
    throw usage(`${flag}: --algorithm ${config.algorithm} is for workers that hold the same; write --algorithm auto`)
  if (config.clipGradientValue > 0 && config.clipGradientNorm > 0)
    throw usage(
      `${flag}: no worker sees the whole gradient; write one of --clip-gradient-value and --clip-gradient-norm`,
    )
  if (config.inspectEvery !== null && config.inspectEvery > 0)
    throw usage(`${flag}: no worker holds the whole model to look at; leave --inspect-every out`)
}
