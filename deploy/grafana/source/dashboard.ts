/** One line of a chart: a query, and what it is called. */
export interface Query {
  readonly expr: string
  readonly legend: string
}

export interface Panel {
  readonly type: 'stat' | 'timeseries'
  readonly title: string
  readonly description: string
  /** Of Grafana: s, bytes, percentunit, short … */
  readonly unit: string
  readonly queries: readonly Query[]
  readonly stacked?: boolean
}

export interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly description: string
  readonly panels: readonly Panel[]
}

/** A series of the chosen targets. */
export const of = (metric: string, matchers = '') =>
  `${metric}{job=~"$job", instance=~"$instance"${matchers && `, ${matchers}`}}`
export const rate = (metric: string, matchers?: string) => `rate(${of(metric, matchers)}[$__rate_interval])`
export const increase = (metric: string, matchers?: string) => `increase(${of(metric, matchers)}[$__rate_interval])`
export const quantile = (q: number, histogram: string, by = '') =>
  `histogram_quantile(${q}, sum by (${by}le) (${rate(`${histogram}_bucket`)}))`

const datasource = { type: 'prometheus', uid: '$datasource' }

/** The JSON that Grafana reads: stats in rows of six, charts in rows of two, in the order of the panels. */
export function dashboardJson({ uid, title, description, panels }: Dashboard): string {
  const dashboard = {
    ...{ uid, title, description, tags: ['ringleader'], schemaVersion: 39, version: 1, editable: false },
    ...{ graphTooltip: 1, refresh: '5s', time: { from: 'now-30m', to: 'now' }, timezone: 'browser' },
    links: [{ type: 'dashboards', tags: ['ringleader'], title: 'Ringleader', asDropdown: false, keepTime: true }],
    templating: {
      list: [
        {
          ...{ name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', refresh: 1 },
          current: { text: 'Prometheus', value: 'prometheus' },
        },
        variable('job', 'label_values(ringleader_build_info, job)'),
        variable('instance', 'label_values(ringleader_build_info{job=~"$job"}, instance)'),
      ],
    },
    annotations: { list: [] },
    panels: placed(panels),
  }
  return `${JSON.stringify(dashboard, null, 2)}\n`
}

function variable(name: string, definition: string) {
  return {
    ...{ name, label: name, type: 'query', datasource, query: { query: definition, refId: name }, definition },
    ...{
      refresh: 2,
      multi: true,
      includeAll: true,
      allValue: '.+',
      current: { text: 'All', value: '$__all' },
      sort: 1,
    },
  }
}

function placed(panels: readonly Panel[]): object[] {
  let x = 0
  let y = 0
  let rowHeight = 0
  return panels.map((panel, index) => {
    const [w, h] = panel.type === 'stat' ? [4, 4] : [12, 8]
    if (x + w > 24 || (rowHeight > 0 && rowHeight !== h)) {
      y += rowHeight
      x = 0
    }
    const gridPos = { x, y, w, h }
    x += w
    rowHeight = h
    return { id: index + 1, ...panelJson(panel), gridPos }
  })
}

function panelJson({ type, title, description, unit, queries, stacked = false }: Panel): object {
  const stat = type === 'stat'
  const custom = stat
    ? {}
    : {
        lineWidth: 1,
        fillOpacity: stacked ? 40 : 10,
        showPoints: 'auto',
        stacking: { mode: stacked ? 'normal' : 'none' },
      }
  return {
    ...{ type, title, description, datasource },
    fieldConfig: { defaults: { unit, custom }, overrides: [] },
    options: stat
      ? { reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false }, colorMode: 'value', graphMode: 'area' }
      : { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi' } },
    targets: queries.map(({ expr, legend }, index) => ({
      ...{ refId: String.fromCharCode(65 + index), datasource, expr, legendFormat: legend },
    })),
  }
}

export function stat(title: string, description: string, unit: string, expr: string): Panel {
  return { type: 'stat', title, description, unit, queries: [{ expr, legend: title }] }
}

export function chart(title: string, description: string, unit: string, ...queries: readonly Query[]): Panel {
  return { type: 'timeseries', title, description, unit, queries }
}

export const line = (legend: string, expr: string): Query => ({ expr, legend })
