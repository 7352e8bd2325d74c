import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { hasChromium, openChromium, troublesOf } from '../support/chromium.ts'
import { Cli, childrenOf, readLines, waitForStep } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const patience = { timeout: 60_000, interval: 100 }

const training = (folder: string, ...more: string[]) =>
  new Cli([
    ...[
      'train',
      '--steps',
      '100000',
      '--workers',
      '2',
      '--batch-size',
      '32',
      '--threads',
      '1',
      '--http',
      '127.0.0.1:0',
    ],
    ...['--checkpoint-every', '100000', '--sample-every', '100000', '--run-dir', folder, ...more],
  ])
const stepsOf = (folder: string) => readLines(join(folder, 'metrics.jsonl')).length
const eventsOf = (folder: string, kind: string) =>
  readLines(join(folder, 'events.jsonl')).filter((event) => event.kind === kind)
const phaseIs = (page: Page, phase: string) =>
  vi.waitFor(async () => expect(await page.textContent('.phase')).toContain(phase), patience)

describe.skipIf(!hasChromium)('a run is steered from the page in a real Chromium', () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await openChromium()
  })
  afterAll(() => browser.close())

  it('with the token: pause, go on, checkpoint, drain, stop; and not without it', async () => {
    const folder = join(temporaryFolder(), 'run')
    const train = training(folder)
    const [, address] = await train.printed(/page at (http:\/\/[\d.:]+\/)/)
    const [, tokenFile = ''] = await train.printed(/token for its actions in (\S+)/)
    expect(statSync(tokenFile).mode & 0o777).toBe(0o600)
    const token = readFileSync(tokenFile, 'utf8').trim()
    await waitForStep(train, folder, 3)
    const page = await browser.newPage({ viewport: { width: 360, height: 800 } })
    const troubles = troublesOf(page)
    await page.goto(String(address))
    await phaseIs(page, 'running')

    await page.getByRole('button', { name: 'Pause' }).focus()
    await page.keyboard.press('Enter')
    const dialog = page.getByRole('dialog', { name: 'The token of this run' })
    await dialog.waitFor()
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360)
    await page.keyboard.type('not-the-token-of-it')
    await page.keyboard.press('Enter')
    await vi.waitFor(async () => expect(await dialog.textContent()).toContain('not the token of this run'), patience)
    await page.keyboard.press('Escape')
    await vi.waitFor(async () => expect(await page.textContent('.actions')).toContain('Nothing was done.'), patience)
    expect(await page.textContent('.phase')).toContain('running')

    await page.getByRole('button', { name: 'Pause' }).click()
    await dialog.getByLabel('Token').fill(token)
    await dialog.getByRole('button', { name: 'Use it' }).click()
    await phaseIs(page, 'paused')
    await vi.waitFor(() => expect(eventsOf(folder, 'checkpoint')).toHaveLength(1), patience)
    const steps = stepsOf(folder)
    await page.reload()
    await phaseIs(page, 'paused')
    expect(stepsOf(folder)).toBe(steps)

    await page.getByRole('button', { name: 'Go on' }).click() // this tab knows the token
    await phaseIs(page, 'running')
    await vi.waitFor(() => expect(stepsOf(folder)).toBeGreaterThan(steps + 2), patience)
    await page.getByRole('button', { name: 'Checkpoint now' }).click()
    await vi.waitFor(() => expect(eventsOf(folder, 'checkpoint')).toHaveLength(2), patience)

    const full = () => eventsOf(folder, 'generation').filter(({ worldSize }) => worldSize === 2)
    const before = full().length
    const [victim = 0] = childrenOf(train.child.pid, 'worker-process')
    process.kill(victim, 'SIGKILL')
    await page.waitForSelector('.incidents li', { timeout: 60_000 })
    expect(await page.textContent('.incidents li')).toMatch(/dead at step [\d,]+: [\d,]+ ms \(/)
    expect(await page.locator('.incidents li .bar span').count()).toBe(3)
    await vi.waitFor(() => expect(full().length).toBeGreaterThan(before), patience) // it is in the group again
    await vi.waitFor(async () => expect(await page.locator('.workers tbody tr').count()).toBe(2), patience)
    await phaseIs(page, 'running')

    page.on('dialog', (question) => question.accept())
    await page.getByRole('button', { name: 'Drain worker-1' }).click()
    await vi.waitFor(async () => expect(await page.textContent('.actions')).toContain('worker-1 leaves'), patience)
    await vi.waitFor(() => expect(eventsOf(folder, 'left')).toMatchObject([{ workerId: 'worker-1' }]), patience)
    await vi.waitFor(async () => expect(await page.locator('.workers tbody tr').count()).toBe(1), patience)
    await page.getByRole('button', { name: 'Drain worker-0' }).click()
    await vi.waitFor(async () => expect(await page.textContent('.actions')).toContain('is the last one'), patience)
    await page.getByRole('button', { name: 'Stop' }).click()
    await phaseIs(page, 'interrupted')
    expect(await page.locator('.actions').isVisible()).toBe(false)
    expect((await train.finished).code).toBe(130)
    expect(eventsOf(folder, 'action').map(({ action }) => action)).toEqual(
      ['pause', 'resume', 'checkpoint', 'drain', 'stop'], // what was refused is not there
    )
    expect(troubles.filter((trouble) => !/ERR_|403|409/.test(trouble))).toEqual([])
    await page.close()
  })
})

describe('a run that is paused', () => {
  it('stays so when its coordinator is killed, and goes on with the same workers and token', async () => {
    const folder = join(temporaryFolder(), 'run')
    const tokenFile = join(temporaryFolder(), 'my-token')
    const train = training(folder, '--token-file', tokenFile)
    const [, address] = await train.printed(/page at (http:\/\/[\d.:]+)\//)
    await waitForStep(train, folder, 3)
    const act = async (name: string) => {
      const headers = { authorization: `Bearer ${readFileSync(tokenFile, 'utf8').trim()}` }
      return (await fetch(`${address}/api/actions/${name}`, { method: 'POST', headers })).status
    }
    const status = async () => (await (await fetch(`${address}/api/status`)).json()) as Record<string, unknown>
    expect(await act('resume')).toBe(409)
    expect(await act('pause')).toBe(200)
    expect(await act('pause')).toBe(409)
    await vi.waitFor(async () => expect((await status()).phase).toBe('paused'), patience)
    const workers = childrenOf(train.child.pid, 'worker-process')
    const steps = stepsOf(folder)
    const [coordinator = 0] = childrenOf(train.child.pid, 'coordinator-process')
    process.kill(coordinator, 'SIGKILL')
    await train.printed(/it is started again/)
    await vi.waitFor(async () => {
      const now = await status()
      expect(now).toMatchObject({ phase: 'paused', held: true })
      expect((now.workers as { standing: string }[]).filter((each) => each.standing === 'halted')).toHaveLength(2)
    }, patience)
    expect(stepsOf(folder)).toBe(steps)
    expect(await act('resume')).toBe(200)
    await vi.waitFor(() => expect(stepsOf(folder)).toBeGreaterThan(steps + 2), patience)
    expect(childrenOf(train.child.pid, 'worker-process')).toEqual(workers)
    expect(eventsOf(folder, 'incident')).toEqual([])
    expect(await act('stop')).toBe(200)
    expect((await train.finished).code).toBe(130)
  })
})
