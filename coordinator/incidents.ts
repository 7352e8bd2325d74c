import type { Incident } from './run-folder.ts'

interface Open {
  readonly incident: Omit<Incident, 'reformMs' | 'firstCommitMs'>
  readonly reason: string
  readonly generation: number
  readonly detectedAt: number
  startedAt: number | null
}

/** Stopwatches: each loss from its detection to the first step that is committed after it. Times in milliseconds. */
export class Incidents {
  #open: Open[] = []
  #lastCommitAt: number | null = null
  #waitingSince: number | null = null
  /** Of the time since the last commit, what went by because there were too few workers. */
  #waitedMs = 0

  /** `silentMs`: since the last sign of life, the most that detection can have taken. */
  lost(
    loss: { kind: string; workerId: string; reason: string },
    at: { step: number; generation: number; wasMember: boolean; silentMs: number; now: number },
  ): void {
    const { step, generation, wasMember, silentMs, now } = at
    const { kind, workerId, reason } = loss
    const incident = { kind, workerId, step, detectMs: Math.round(silentMs) }
    // The loss of one that was in no group stops nobody: it is over with the next step.
    const open = wasMember ? { generation, startedAt: null } : { generation: generation - 1, startedAt: now }
    this.#open.push({ incident, reason, detectedAt: now, ...open })
  }

  /** There are too few workers to go on. */
  waiting(now: number): void {
    this.#waitingSince ??= now
  }

  started(now: number): void {
    if (this.#waitingSince !== null) this.#waitedMs += now - this.#waitingSince
    this.#waitingSince = null
    for (const open of this.#open) open.startedAt ??= now
  }

  /** The incidents that the first commit of a generation ends. */
  committed(generation: number, now: number): { incident: Incident; reason: string }[] {
    if (this.#open.length === 0) return []
    const over = (open: Open) => open.generation < generation && open.startedAt !== null
    const ended = this.#open.filter(over)
    this.#open = this.#open.filter((open) => !over(open))
    return ended.map(({ incident, reason, detectedAt, startedAt }) => ({
      incident: {
        ...incident,
        reformMs: Math.round((startedAt ?? now) - detectedAt),
        firstCommitMs: Math.round(now - (startedAt ?? now)),
      },
      reason,
    }))
  }

  /**
   * A step is committed that took so long itself; milliseconds that incidents have cost since the one before, without
   * waiting for workers. `ended`: it was the first one after an incident.
   */
  stepped(now: number, seconds: number, ended: boolean): number {
    const since = this.#lastCommitAt
    const costMs = since === null || !ended ? 0 : now - since - this.#waitedMs - seconds * 1000
    this.#lastCommitAt = now
    this.#waitedMs = 0
    return Math.max(0, costMs)
  }

  /** Those that no step followed. */
  rest(): { incident: Incident; reason: string }[] {
    const rest = this.#open.map(({ incident, reason }) => ({
      incident: { ...incident, reformMs: null, firstCommitMs: null },
      reason,
    }))
    this.#open = []
    return rest
  }
}
