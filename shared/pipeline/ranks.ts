/**
 * Ranks of a group of pipelines: rank = replica · stages + stage, so that the stages of a replica are neighbours. With one stage
 * each rank is a replica.
 */
export interface PipelinePlace {
  readonly stage: number
  readonly stages: number
  readonly replica: number
  readonly replicas: number
}

export function placeOfRank(rank: number, worldSize: number, stages: number): PipelinePlace {
  return { stage: rank % stages, stages, replica: Math.floor(rank / stages), replicas: Math.floor(worldSize / stages) }
}

/** The ranks that hold a stage, by replica. */
export function ranksOfStage({ stage, stages, replicas }: Omit<PipelinePlace, 'replica'>): number[] {
  return Array.from({ length: replicas }, (_, replica) => replica * stages + stage)
}

/** Who has which stage, for people; nothing where each worker holds the whole model. */
export function seatsOf(
  group: readonly { readonly workerId: string }[],
  { pipelineStages: stages }: { readonly pipelineStages: number },
): { stages?: { workerId: string; stage: number }[] } {
  return stages === 1 ? {} : { stages: group.map(({ workerId }, rank) => ({ workerId, stage: rank % stages })) }
}
