import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { commands } from '../../cli/commands.ts'
import { WorkerMetrics } from '../../worker/metrics/worker-metrics.ts'
import { hasTool, root } from '../support/cli.ts'
import { busyMetrics } from '../support/metrics.ts'

const deploy = join(root, 'deploy')
const text = (...path: string[]) => readFileSync(join(deploy, ...path), 'utf8')
const hasPromtool = hasTool('promtool', '--version')

const exposition = () => busyMetrics().registry.metrics()

describe('provisioning', () => {
  it('names the data source and the folder of dashboards', () => {
    const datasource = z.strictObject({
      name: z.string(),
      uid: z.literal('prometheus'),
      type: z.literal('prometheus'),
      access: z.literal('proxy'),
      url: z.literal('http://prometheus:9090'),
      isDefault: z.literal(true),
      jsonData: z.record(z.string(), z.string()),
    })
    z.strictObject({ apiVersion: z.literal(1), datasources: z.array(datasource).length(1) }).parse(
      parse(text('grafana/provisioning/datasources/prometheus.yaml')),
    )
    const provider = z.strictObject({
      name: z.string(),
      type: z.literal('file'),
      allowUiUpdates: z.boolean(),
      options: z.strictObject({ path: z.literal('/var/lib/grafana/dashboards') }),
    })
    z.strictObject({ apiVersion: z.literal(1), providers: z.array(provider).length(1) }).parse(
      parse(text('grafana/provisioning/dashboards/ringleader.yaml')),
    )
  })
})

describe('Prometheus', () => {
  it('scrapes the coordinator where it listens, and the workers that it tells of', () => {
    const { scrape_configs: jobs } = parse(text('prometheus/prometheus.yml')) as {
      scrape_configs: {
        job_name: string
        static_configs?: { targets: string[] }[]
        http_sd_configs?: { url: string }[]
      }[]
    }
    expect(jobs.find((job) => job.job_name === 'ringleader')?.static_configs?.[0]?.targets).toEqual([
      'coordinator:9464',
    ])
    expect(jobs.find((job) => job.job_name === 'ringleader-worker')?.http_sd_configs?.[0]?.url).toBe(
      'http://coordinator:9464/sd/prometheus',
    )
  })

  it.skipIf(!hasPromtool)('accepts the configuration', () => {
    const { status, stdout, stderr } = spawnSync(
      'promtool',
      ['check', 'config', join(deploy, 'prometheus/prometheus.yml')],
      { encoding: 'utf8' },
    )
    expect(status, stdout + stderr).toBe(0)
  })

  it.skipIf(!hasPromtool)('has rules that fire, and that keep quiet', () => {
    const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', 'rules.test.yml'], {
      cwd: join(deploy, 'prometheus'),
      encoding: 'utf8',
    })
    expect(status, stdout + stderr).toBe(0)
  })

  it('tests each of its rules', () => {
    const { groups } = parse(text('prometheus', 'rules.yml')) as { groups: { rules: Record<string, string>[] }[] }
    const cases = text('prometheus', 'rules.test.yml')
    const rules = groups.flatMap((group) => group.rules)
    expect(rules.length).toBeGreaterThan(10)
    for (const { alert, record } of rules)
      expect(cases).toMatch(`${alert ? 'alertname' : 'expr'}: ${alert ?? record}\n`)
  })

  it.skipIf(!hasPromtool)('accepts the metrics, of the coordinator and of a worker', async () => {
    for (const input of [await exposition(), await new WorkerMetrics().registry.metrics()])
      expect(spawnSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' })).toMatchObject({
        ...{ status: 0, stderr: '' },
      })
  })
})

const strings = z.array(z.string())
const service = z.strictObject({
  image: z.string().regex(/:[\w.-]+$/),
  build: z.strictObject({ context: z.literal('../..'), dockerfile: z.string() }).optional(),
  command: strings.optional(),
  networks: strings,
  init: z.boolean().optional(),
  volumes: strings.optional(),
  ports: z.array(z.string().regex(/^127\.0\.0\.1:\d+:\d+$/)).optional(),
  healthcheck: z
    .strictObject({ test: strings, interval: z.string(), timeout: z.string(), retries: z.number() })
    .optional(),
  stop_grace_period: z.string().optional(),
  depends_on: z
    .record(z.string(), z.strictObject({ condition: z.enum(['service_healthy', 'service_started']) }))
    .optional(),
  deploy: z.strictObject({ replicas: z.number() }).optional(),
  environment: z.record(z.string(), z.string()).optional(),
  restart: z.literal('unless-stopped').optional(),
})
const composeSchema = z.strictObject({
  name: z.string(),
  'x-ringleader': z.unknown(),
  services: z.record(z.string(), service),
  networks: z.record(z.string(), z.object({})),
  volumes: z.record(z.string(), z.object({})),
})

describe('the compose file', () => {
  const compose = composeSchema.parse(parse(text('compose/compose.yaml'), { merge: true }))
  const services = Object.entries(compose.services)

  it('names services, networks, volumes and files that exist', () => {
    for (const [name, { networks, depends_on: needs, volumes, build }] of services) {
      for (const network of networks) expect(Object.keys(compose.networks), name).toContain(network)
      for (const need of Object.keys(needs ?? {})) expect(Object.keys(compose.services), name).toContain(need)
      for (const volume of volumes ?? []) {
        const source = volume.split(':')[0] ?? ''
        if (source.startsWith('.')) expect(existsSync(join(deploy, 'compose', source)), volume).toBe(true)
        else expect(Object.keys(compose.volumes), name).toContain(source)
      }
      if (build) expect(existsSync(join(root, build.dockerfile))).toBe(true)
    }
  })

  it('gives our commands only flags that they have', () => {
    const ours = services.filter(([, { image }]) => image.startsWith('ringleader'))
    expect(ours.map(([name]) => name)).toEqual(['coordinator', 'worker'])
    for (const [, { command = [] }] of ours) {
      const found = commands.find(({ name }) => name === command[0])
      for (const flag of command.filter((word) => word.startsWith('--')))
        expect(Object.keys(found?.flags ?? {})).toContain(flag.slice(2))
    }
  })
})

describe('the Dockerfile', () => {
  it('copies files that exist and that its ignore file lets through', () => {
    const allowed = text('docker/Dockerfile.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1))
    const copied = [...text('docker/Dockerfile').matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources]) =>
      (sources ?? '').split(' '),
    )
    expect(copied.length).toBeGreaterThan(5)
    for (const source of copied) {
      expect(existsSync(join(root, source)), source).toBe(true)
      expect(allowed).toContain(source)
    }
  })
})
