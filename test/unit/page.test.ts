import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { Buckets } from '../../coordinator/http/buckets.ts'
import { EventLog } from '../../coordinator/http/event-log.ts'
import { EventStream, encodeServerSentEvent } from '../../coordinator/http/event-stream.ts'
import { LineTail } from '../../coordinator/http/line-tail.ts'
import { pageFiles } from '../../coordinator/http/page.ts'
import { RunFeed, valuesOf } from '../../coordinator/http/run-feed.ts'
import { openHttpServer } from '../../coordinator/http/server.ts'
import { type Column, RunData } from '../../coordinator/page/run-data.mjs'
import { limits } from '../../shared/core/limits.ts'
import { temporaryFolder } from '../support/folder.ts'

describe('down-sampling', () => {
  it('keeps extremes, sums and every step, however many lines there are', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 400 }), (values) => {
        const buckets = new Buckets(8)
        for (const [index, value] of values.entries()) buckets.add(index + 1, { loss: value })
        const { from, steps, columns } = buckets.since(null) ?? { from: -1, steps: [], columns: {} }
        const { min = [], max = [], mean = [] } = columns.loss ?? {}
        expect(from).toBe(0)
        expect(steps.length).toBeLessThanOrEqual(16)
        if (values.length >= 8) expect(steps.length).toBeGreaterThanOrEqual(8)
        expect([...steps]).toEqual([...new Set(steps)].sort((a, b) => a - b))
        for (const [bucket, first] of steps.entries()) {
          const own = values.slice(first - 1, (steps[bucket + 1] ?? values.length + 1) - 1)
          expect(min[bucket]).toBe(Math.min(...own))
          expect(max[bucket]).toBe(Math.max(...own))
          expect(mean[bucket]).toBeCloseTo(own.reduce((sum, value) => sum + value, 0) / own.length, 0)
        }
      }),
    )
  })

  it('takes 100,000 lines into as many buckets as a chart has pixels, and a peak of one line is still there', () => {
    const buckets = new Buckets(limits.pageBuckets)
    for (let step = 1; step <= 100_000; step++) buckets.add(step, { loss: step === 77_777 ? 9999 : 1 })
    const { steps, columns } = buckets.since(null) ?? { steps: [], columns: {} as Record<string, Column> }
    expect(steps.length).toBeLessThanOrEqual(2 * limits.pageBuckets)
    expect(Math.max(...(columns.loss?.max ?? []).map(Number))).toBe(9999)
  })

  it('what a page puts together from updates is what a page that comes now is sent', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.boolean()), { maxLength: 60 }), (visits) => {
        const buckets = new Buckets(4)
        const page = new RunData()
        let cursor = null
        let step = 0
        for (const [lines, late] of visits) {
          for (let line = 0; line < lines; line++) buckets.add(++step, { a: step, ...(late ? { b: -step } : {}) })
          const series = buckets.since(cursor)
          cursor = buckets.cursor
          page.apply({ ...(series ? { series: structuredClone(series) as never } : {}) })
        }
        const { steps, columns } = buckets.since(null) ?? { steps: [], columns: {} }
        expect(page.steps).toEqual(steps)
        expect(Object.fromEntries(page.columns)).toEqual(columns)
        expect(buckets.since(cursor ?? buckets.cursor)).toBeNull()
      }),
    )
  })

  it('after a roll-back it starts anew', () => {
    const buckets = new Buckets(4)
    for (let step = 1; step <= 30; step++) buckets.add(step, { loss: step })
    const { cursor } = buckets
    buckets.clear()
    buckets.add(1, { loss: 5 })
    expect(buckets.since(cursor)).toEqual({ from: 0, steps: [1], columns: { loss: { mean: [5], min: [5], max: [5] } } })
  })

  it('reads losses, phases and throughput from a line, and nothing that is no number', () => {
    const line = { time: 'x', step: 3, epoch: 0, images: 10, skipped: false, seconds: 2, phaseSeconds: { forward: 1 } }
    expect(valuesOf({ ...line, loss: 4, other: null })).toEqual({
      loss: 4,
      seconds: 2,
      imagesPerSecond: 5,
      'phase/forward': 1,
    })
  })
})

describe('events', () => {
  it('keeps the newest, and incidents for longer than the rest', () => {
    const log = new EventLog(3)
    log.add({ time: 't', kind: 'incident', incident: { kind: 'dead' } })
    for (let index = 0; index < 10; index++) log.add({ time: 't', kind: 'checkpoint', step: index })
    expect(log.since(0).map(({ id }) => id)).toEqual([1, 9, 10, 11])
    expect(log.since(10).map(({ step }) => step)).toEqual([9])
  })

  it('leaves out a field that nobody can read', () => {
    const log = new EventLog(3)
    log.add({ time: 't', kind: 'algorithm', topology: 'x'.repeat(5000), name: 'ring' })
    expect(log.since(0)).toEqual([{ id: 1, time: 't', kind: 'algorithm', name: 'ring' }])
  })

  it('are one line on the wire, with an empty one behind', () => {
    expect(encodeServerSentEvent({ text: 'a\nb' })).toBe('data: {"text":"a\\nb"}\n\n')
  })
})

describe('a file that grows', () => {
  it('is read by whole lines, once each, and anew when it is cut', async () => {
    const path = join(temporaryFolder(), 'metrics.jsonl')
    const tail = new LineTail(path)
    const seen: unknown[] = []
    let restarts = 0
    const read = () =>
      tail.read(
        ({ step }) => seen.push(step),
        () => restarts++,
      )
    await read()
    writeFileSync(path, '{"step":1}\n{"step":')
    await read()
    appendFileSync(path, '2}\nnot json\n')
    await read()
    expect([seen, restarts]).toEqual([[1, 2], 0])
    writeFileSync(path, '{"step":1}\n')
    await read()
    expect([seen, restarts]).toEqual([[1, 2, 1], 1])
  })
})

describe('the page over HTTP', () => {
  const open: { close(): Promise<void> }[] = []
  afterEach(async () => {
    for (const server of open.splice(0)) await server.close()
  })

  async function serve(status: () => unknown = () => ({ step: 1 })) {
    const path = temporaryFolder()
    mkdirSync(join(path, 'samples'))
    writeFileSync(join(path, 'samples/step-00000010.png'), 'picture')
    writeFileSync(join(path, 'metrics.jsonl'), '{"step":1,"loss":2}\n')
    writeFileSync(join(path, 'secret.txt'), 'secret')
    const server = await openHttpServer('127.0.0.1', 0, {
      metrics: null,
      actions: null,
      runs: [{ name: 'a run', path, status }],
    })
    open.push(server)
    return { base: `http://${server.address}`, path }
  }

  const stream = (url: string) =>
    new Promise<IncomingMessage>((resolve, reject) => get(url, { agent: false }, resolve).once('error', reject))

  it('has a strict policy, no markup with code in it, and all that it names', async () => {
    const { base } = await serve()
    const answer = await fetch(base)
    expect(answer.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; script-src 'self'; style-src 'self'/,
    )
    const html = await answer.text()
    expect(html).not.toMatch(/style=|onclick|https?:|<style|<script>/)
    for (const [, name] of html.matchAll(/(?:src|href)="([\w.]+\.\w+)"/g)) {
      const file = await fetch(`${base}/${name}`)
      expect(file.status, name).toBe(200)
      expect(file.headers.get('content-type'), name).toMatch(/javascript|css|svg/)
    }
  })

  it('is smaller than 200 KB in all', () => {
    const bytes = [...pageFiles().values()].reduce((sum, { body }) => sum + body.byteLength, 0)
    expect(bytes).toBeGreaterThan(50_000)
    expect(bytes).toBeLessThan(200_000)
  })

  it('is only for reading, and shows no other file', async () => {
    const { base } = await serve()
    for (const method of ['POST', 'PUT', 'DELETE']) expect((await fetch(base, { method })).status).toBe(405)
    expect(await (await fetch(`${base}/api/runs`)).json()).toEqual([{ index: 0, name: 'a run', steered: false }])
    expect(await (await fetch(`${base}/api/runs/0/samples/step-00000010.png`)).text()).toBe('picture')
    for (const path of ['samples/step-00000011.png', 'samples/..%2fsecret.txt', 'samples/../secret.txt', 'secret.txt'])
      expect((await fetch(`${base}/api/runs/0/${path}`)).status, path).toBe(404)
    for (const path of ['/api/runs/1/events', '/page.ts', '/metrics', '//', '/%00'])
      expect((await fetch(`${base}${path}`)).status, path).toBe(404)
  })

  it('sends everything first, then what is new', async () => {
    const { base, path } = await serve()
    const response = await stream(`${base}/api/runs/0/events`)
    let text = ''
    response.on('data', (bytes: Buffer) => (text += bytes.toString()))
    await vi.waitFor(() => expect(text).toContain('"steps":[1]'), { timeout: 50_000 })
    expect(text).toContain('"samples":[10]')
    appendFileSync(join(path, 'metrics.jsonl'), '{"step":2,"loss":3}\n')
    await vi.waitFor(() => expect(text).toContain('"series":{"from":0,"steps":[1,2]'), { timeout: 50_000 })
    response.destroy()
  })

  it('passes a reader over that does not read, and tells it the rest later', async () => {
    let step = 0
    const status = () => ({ step: ++step, text: 'x'.repeat(512 << 10) })
    const events = new EventStream(new RunFeed({ name: 'a run', path: temporaryFolder(), status }))
    const server = createServer((_, response) => void events.add(response))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const response = await stream(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    response.pause()
    for (let update = 0; update < 50; update++) await events.update()
    const last = step
    const steps: number[] = []
    let text = ''
    response.on('data', (bytes: Buffer) => {
      text += bytes.toString()
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const found = /"step":(\d+)/.exec(text.slice(0, end))
        if (found) steps.push(Number(found[1]))
        text = text.slice(end + 2)
      }
    })
    response.resume()
    await vi.waitFor(() => expect(steps.at(-1)).toBeGreaterThan(last), { timeout: 50_000 })
    expect(steps.length).toBeLessThan(25) // most were never queued: the line holds a few megabytes
    await events.close()
    server.close()
  }, 60_000)

  it('goes on when the run cannot be read', async () => {
    let fails = true
    const { base } = await serve(() => {
      if (fails) throw new Error('no state')
      return { step: 7 }
    })
    const response = await stream(`${base}/api/runs/0/events`)
    let text = ''
    response.on('data', (bytes: Buffer) => (text += bytes.toString()))
    await vi.waitFor(() => expect(text).toContain('"steps":[1]'), { timeout: 50_000 })
    fails = false
    await vi.waitFor(() => expect(text).toContain('"step":7'), { timeout: 50_000 })
    response.destroy()
  })

  it('refuses one page too many, and takes it when another has gone', async () => {
    const { base } = await serve()
    const all = await Promise.all(Array.from({ length: limits.pageReaders }, () => stream(`${base}/api/runs/0/events`)))
    expect(all.every(({ statusCode }) => statusCode === 200)).toBe(true)
    expect((await fetch(`${base}/api/runs/0/events`)).status).toBe(503)
    all[0]?.destroy()
    await vi.waitFor(async () => {
      const response = await stream(`${base}/api/runs/0/events`)
      response.destroy()
      expect(response.statusCode).toBe(200)
    })
    for (const response of all) response.destroy()
  })
})
