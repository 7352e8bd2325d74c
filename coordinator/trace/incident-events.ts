import type { Incident } from '../run-folder.ts'

/** A stretch of an incident, in milliseconds. */
export interface IncidentPart {
  readonly name: string
  readonly start: number
  readonly end: number
}

/** An incident that is over now, and what it went by with. Parts that it never came to are left out. */
export function incidentParts({ kind, workerId, detectMs, reformMs, firstCommitMs }: Incident, now: number) {
  const lengths = [
    { name: 'detect', ms: detectMs },
    { name: 're-form', ms: reformMs },
    { name: 'first commit', ms: firstCommitMs },
  ]
  const total = lengths.reduce((sum, { ms }) => sum + (ms ?? 0), 0)
  const parts: IncidentPart[] = [{ name: `${workerId} ${kind}`, start: now - total, end: now }]
  let start = now - total
  for (const { name, ms } of lengths) {
    if (ms === null) continue
    parts.push({ name, start, end: start + ms })
    start += ms
  }
  return parts
}
