import { rankIn } from './membership/members.ts'
import type { Membership } from './membership/state.ts'
import type { Pace } from './membership/stragglers.ts'
import type { PreparedRun } from './prepare-run.ts'
import { algorithmOf } from './run-algorithm.ts'
import type { RunRecord } from './run-record.ts'

/** The newest ones; a long run has thousands. */
const shownEpochs = 10

/** How a run stands, for /api/status. */
export function statusOf(
  run: PreparedRun,
  record: RunRecord,
  membership: Membership,
  pace: (workerId: string) => Pace & { readonly lanes: number },
): object {
  const { phase, generation, group, members, reason, topology, held } = membership
  const { ledger, schedule } = record
  return {
    runId: run.runId,
    model: run.config.model,
    dataset: run.config.dataset,
    compression: run.config.compression,
    compressionRatio: run.config.compressionRatio,
    phase: phase === 'waiting' && held ? 'paused' : phase,
    held,
    reason,
    generation,
    worldSize: group.length,
    algorithm: algorithmOf(run.config, topology),
    step: ledger.steps,
    totalSteps: schedule.totalSteps,
    epoch: Math.floor(ledger.steps / schedule.stepsPerEpoch),
    checkpointStep: record.checkpoints.step,
    workers: [...members.values()].map(({ workerId, step, standing }) => ({
      workerId,
      rank: rankIn(group, workerId),
      ...stageOf(membership, workerId),
      step,
      standing,
      ...pace(workerId),
    })),
    alarms: record.alarms,
    goodput: record.goodput.figures,
    advice: record.advisor.advice(schedule.totalSteps - ledger.steps),
    samples: run.dataset.train.count,
    coverage: ledger.coverage().slice(-shownEpochs),
  }
}

/** Where workers hold one stage each: which one; nothing of a worker that is in no group. */
function stageOf({ group, options: { stages = 1 } }: Membership, workerId: string): { stage?: number } {
  const rank = rankIn(group, workerId)
  return stages > 1 && rank >= 0 ? { stage: rank % stages } : {}
}
