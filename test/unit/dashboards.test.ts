import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { dashboards } from '../../deploy/grafana/source/dashboards.ts'
import { WorkerMetrics } from '../../worker/metrics/worker-metrics.ts'
import { root } from '../support/cli.ts'
import { busyMetrics } from '../support/metrics.ts'

const templated = z.object({ type: z.literal('prometheus'), uid: z.literal('$datasource') })
const target = z.object({
  refId: z.string(),
  expr: z.string().min(1),
  legendFormat: z.string().min(1),
  datasource: templated,
})
const variable = z.looseObject({
  name: z.string(),
  label: z.string(),
  type: z.string(),
  multi: z.boolean().optional(),
  allValue: z.string().optional(),
  refresh: z.number(),
})
const dashboardSchema = z.looseObject({
  uid: z.string().max(40),
  title: z.string().startsWith('Ringleader'),
  description: z.string().min(1),
  editable: z.literal(false),
  schemaVersion: z.number().min(36),
  templating: z.object({ list: z.array(variable) }),
  panels: z.array(
    z.looseObject({
      id: z.number(),
      title: z.string().min(1),
      description: z.string().min(1),
      type: z.enum(['timeseries', 'stat']),
      datasource: templated,
      gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
      targets: z.array(target).min(1),
      fieldConfig: z.looseObject({ defaults: z.looseObject({ unit: z.string().min(1) }) }),
    }),
  ),
})

const folder = join(root, 'deploy/grafana/dashboards')
const files = readdirSync(folder).filter((name) => name.endsWith('.json'))
const names = new Set(
  [busyMetrics().registry, new WorkerMetrics().registry]
    .flatMap((registry) => registry.describe())
    .flatMap(({ name, type }) =>
      type === 'histogram' ? ['bucket', 'sum', 'count'].map((part) => `${name}_${part}`) : [name],
    ),
)

it('every dashboard has its file, and every file its source', () => {
  expect(files.sort()).toEqual(
    Object.keys(dashboards)
      .map((name) => `${name}.json`)
      .sort(),
  )
  expect(new Set(Object.values(dashboards).map(({ uid }) => uid)).size).toBe(files.length)
})

/** Rules of Grafana's dashboard-linter. */
describe.each(files)('the dashboard %s', (name) => {
  const dashboard = dashboardSchema.parse(JSON.parse(readFileSync(join(folder, name), 'utf8')))
  const targets = dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ title, expr })))

  it('names only metrics that there are', () => {
    for (const { title, expr } of targets) {
      const used = [...expr.matchAll(/([a-z_0-9]+)\{/g)].map(([, metric]) => metric ?? '')
      expect(used.length, title).toBeGreaterThan(0)
      for (const metric of used) expect(names.has(metric), `${title}: ${metric}`).toBe(true)
    }
  })

  it('has the variables, with all values', () => {
    const variables = new Map(dashboard.templating.list.map((one) => [one.name, one]))
    expect(variables.get('datasource')).toMatchObject({ type: 'datasource' })
    for (const label of ['job', 'instance'])
      expect(variables.get(label)).toMatchObject({ type: 'query', label, multi: true, allValue: '.+', refresh: 2 })
  })

  it('asks for the chosen targets, and for counters by their rate', () => {
    for (const { title, expr } of targets) {
      for (const [, matchers] of expr.matchAll(/\{([^}]*)\}/g))
        expect(matchers, title).toMatch(/^job=~"\$job", instance=~"\$instance"/)
      for (const [, range] of expr.matchAll(/(?:rate|increase)\([^[]*\[([^\]]+)\]/g))
        expect(range, title).toBe('$__rate_interval')
      for (const [, wrapper] of expr.matchAll(/(\w+\()?[a-z_]+_(?:total|bucket|sum|count)\{/g))
        expect(['rate(', 'increase('], `${title}: ${expr}`).toContain(wrapper)
    }
  })

  it('has panels that lie beside each other', () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length)
    for (const [index, { gridPos: a }] of dashboard.panels.entries()) {
      expect(a.x + a.w).toBeLessThanOrEqual(24)
      for (const { gridPos: b } of dashboard.panels.slice(index + 1))
        expect(a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h).toBe(false)
    }
  })
})
