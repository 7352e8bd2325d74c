import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { Alarms } from '../../coordinator/alarms.ts'
import { EvaluationRecords } from '../../coordinator/evaluation-record.ts'
import { Metrics } from '../../coordinator/metrics/metrics.ts'
import { RunFolder } from '../../coordinator/run-folder.ts'
import type { RunObserver } from '../../coordinator/summary.ts'
import { resolveConfig } from '../../shared/core/config.ts'
import { temporaryFolder } from '../support/folder.ts'

const silent: RunObserver = { group() {}, committed() {}, checkpoint() {}, incident() {} }

it('evaluations are told in events and metrics, failed ones by an alarm, and are there in the next sitting', async () => {
  const path = join(temporaryFolder(), 'run')
  const images = { count: 1, height: 1, width: 1, channels: 1 }
  const config = resolveConfig({ model: 'gan' })
  const folder = RunFolder.create(path, { formatVersion: 1, runId: 'x', dataDir: null, images, config })
  const metrics = new Metrics({ runId: 'x', config })
  const records = new EvaluationRecords(
    folder,
    metrics,
    new Alarms(folder, metrics, silent),
    folder.history().evaluations,
  )
  const [first, second] = [10, 20].map((step) => ({ step, classifier: 'ab12', figures: { fid: step / 4, modes: 9 } }))
  if (first) records.add(first)
  records.failed(15, 'killed')
  if (second) records.add(second)
  const text = await metrics.registry.metrics()
  expect(text).toContain('ringleader_evaluation{figure="fid",classifier="ab12"} 5\n')
  expect(text).toContain('ringleader_evaluation{figure="modes",classifier="ab12"} 9\n')
  expect(text).toContain('ringleader_evaluation_step 20\n')
  expect(text).toContain('ringleader_alarms_total{kind="evaluation"} 1\n')
  expect(text).toContain('ringleader_alarm{kind="evaluation"} 0\n')
  expect(readFileSync(join(path, 'events.jsonl'), 'utf8')).toContain('"reason":"killed"')
  const { evaluations } = RunFolder.open(path).folder.history()
  expect(evaluations).toEqual([first, second])
  const later = new Metrics({ runId: 'x', config })
  new EvaluationRecords(folder, later, new Alarms(folder, later, silent), evaluations)
  expect(await later.registry.metrics()).toContain('ringleader_evaluation_step 20\n')
})
