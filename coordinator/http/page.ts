import { createReadStream, readdirSync, readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EventStream } from './event-stream.ts'
import { RunFeed, type ShownRun } from './run-feed.ts'

/** Everything from here, nothing from elsewhere, no code inside of the page. */
const contentSecurityPolicy = [
  ...["default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'"],
  ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join('; ')

export const pageHeaders = {
  'content-security-policy': contentSecurityPolicy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
} as const

const types: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  mjs: 'text/javascript; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
}

export interface PageFile {
  readonly type: string
  readonly body: Buffer
}

/** All that a browser loads, by path: the files of coordinator/page and uPlot. */
export function pageFiles(): Map<string, PageFile> {
  const folder = fileURLToPath(new URL('../page/', import.meta.url))
  const own = readdirSync(folder).map((name) => [name, join(folder, name)] as const)
  const require = createRequire(import.meta.url)
  const charts = ['uPlot.iife.min.js', 'uPlot.min.css'].map(
    (name) => [name, require.resolve(`uplot/dist/${name}`)] as const,
  )
  const files = new Map<string, PageFile>()
  for (const [name, path] of [...own, ...charts]) {
    const type = types[name.slice(name.lastIndexOf('.') + 1)]
    if (type !== undefined) files.set(name === 'index.html' ? '/' : `/${name}`, { type, body: readFileSync(path) })
  }
  return files
}

/** The page and what it asks for: /api/runs, /api/runs/N/events, /api/runs/N/samples/step-00000500.png. */
export class Page {
  readonly #streams: readonly EventStream[]
  readonly #runs: readonly ShownRun[]
  readonly #steered: boolean
  /** Once somebody looks. */
  #files: Map<string, PageFile> | null = null

  /** `steered`: there are actions. */
  constructor(runs: readonly ShownRun[], steered: boolean) {
    this.#runs = runs
    this.#steered = steered
    this.#streams = runs.map((run) => new EventStream(new RunFeed(run)))
  }

  /** False where there is no such path. Errors: a file of the page that is not installed. */
  answer(path: string, response: ServerResponse): boolean {
    this.#files ??= pageFiles()
    const file = this.#files.get(path)
    if (file) {
      response.writeHead(200, { 'content-type': file.type }).end(file.body)
      return true
    }
    if (path === '/api/runs') {
      const runs = this.#runs.map(({ name }, index) => ({ index, name, steered: this.#steered }))
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(runs))
      return true
    }
    const [, index, what = ''] = /^\/api\/runs\/(\d{1,4})\/(.+)$/.exec(path) ?? []
    const run = this.#runs[Number(index)]
    const stream = this.#streams[Number(index)]
    if (!run || !stream) return false
    if (what === 'events') {
      if (!stream.add(response))
        response.writeHead(503, { 'content-type': 'text/plain' }).end('too many pages are open; close one\n')
      return true
    }
    if (!/^(samples|interpolations)\/step-\d{1,12}\.png$/.test(what)) return false
    const picture = createReadStream(join(run.path, what))
    picture.once('open', () => response.writeHead(200, { 'content-type': 'image/png' }))
    picture.once('error', () => {
      if (!response.headersSent) response.writeHead(404, { 'content-type': 'text/plain' })
      response.end()
    })
    picture.pipe(response)
    return true
  }

  async close(): Promise<void> {
    await Promise.all(this.#streams.map((stream) => stream.close()))
  }
}
