import type { RunConfig } from './config.ts'
import { usage } from './errors.ts'

/** A micro-batch is a lane or more of a worker; a reproducible run computes lane by lane anyway. */
export function checkAccumulation({
  accumulate,
  pipelineStages,
  batchSize,
  lanes,
  reproducible,
  ...config
}: RunConfig): void {
  if (reproducible || accumulate === 1) return
  const maxWorkers = config.maxWorkers / pipelineStages // the stages of a pipeline have the same images
  const wanted = accumulate * maxWorkers
  const [most, enough] = [Math.floor(batchSize / maxWorkers), 2 ** Math.ceil(Math.log2(wanted))]
  if (wanted > batchSize)
    throw usage(
      `--accumulate ${accumulate}: each of ${maxWorkers} workers has ${most} of the ${batchSize} images of a batch; write ${most} or less`,
    )
  if (wanted > lanes)
    throw usage(
      `--accumulate ${accumulate}: each of ${maxWorkers} workers has ${Math.floor(lanes / maxWorkers)} of ${lanes} lanes; write that or less, or --lanes ${enough}`,
    )
}

/** Whether workers may have unequal parts of a batch. Larger micro-batches are what --accumulate is to avoid. */
export function mayDeal({ accumulate, pipelineStages, reproducible }: Partial<RunConfig>): boolean {
  return pipelineStages === 1 && (accumulate === 1 || reproducible === true)
}

export function checkDeal(config: RunConfig): void {
  if (config.deal === 'even' || mayDeal(config)) return
  const { accumulate, pipelineStages } = config
  const flag = pipelineStages > 1 ? `--pipeline-stages ${pipelineStages}` : `--accumulate ${accumulate}`
  throw usage(`--deal speed gives workers unequal parts of a batch; with ${flag} write --deal even`)
}
