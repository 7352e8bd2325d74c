import { rankIn } from './membership/members.ts'
import type { Membership } from './membership/state.ts'
import type { PreparedRun } from './prepare-run.ts'
import type { RunRecord } from './run-record.ts'

/** How a run stands, for /api/status. */
export function statusOf(run: PreparedRun, record: RunRecord, membership: Membership): object {
  const { phase, generation, group, members, reason, topology } = membership
  const { ledger, schedule } = record
  return {
    runId: run.runId,
    model: run.config.model,
    dataset: run.config.dataset,
    phase,
    reason,
    generation,
    worldSize: group.length,
    algorithm: record.algorithm(topology),
    step: ledger.steps,
    totalSteps: schedule.totalSteps,
    epoch: Math.floor(ledger.steps / schedule.stepsPerEpoch),
    checkpointStep: record.checkpoints.step,
    workers: [...members.values()].map(({ workerId, step, standing }) => ({
      workerId,
      rank: rankIn(group, workerId),
      step,
      standing,
    })),
  }
}
