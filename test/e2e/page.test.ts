import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { hasChromium, openChromium, troublesOf } from '../support/chromium.ts'
import { Cli, childrenOf, ringleader, waitForStep } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

describe.skipIf(!hasChromium)('the page in a real Chromium', () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await openChromium()
  })
  afterAll(() => browser.close())

  it('shows a run while it trains, what befalls it, and its end', async () => {
    const folder = join(temporaryFolder(), 'run')
    const train = new Cli([
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
        '--sample-every',
        '10',
      ],
      ...['--http', '127.0.0.1:0', '--run-dir', folder],
    ])
    const [, address] = await train.printed(/metrics at (http:\/\/[\d.:]+)\/metrics/)
    await waitForStep(train, folder, 3)
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
    const troubles = troublesOf(page)
    await page.goto(String(address))
    const step = async () => Number((await page.textContent('[data-vital=step]'))?.split(' ')[0]?.replaceAll(',', ''))
    await page.waitForSelector('[data-vital=step]')
    const before = await step()
    await vi.waitFor(async () => expect(await step()).toBeGreaterThan(before), { timeout: 60_000, interval: 200 })
    expect(await page.textContent('.phase')).toContain('running')
    expect(await page.locator('.losses canvas').count()).toBe(1)
    expect(await page.locator('.phases .legend li').count()).toBeGreaterThan(3)
    expect(await page.locator('.workers tbody tr').count()).toBe(2)
    await page.waitForSelector('.advice tbody tr', { timeout: 60_000 })
    expect(await page.textContent('.advice .basis')).toMatch(/only 2 workers seen/)
    expect(await page.textContent('.advice tbody tr')).toMatch(/^1here[\d,]+[\d,]+ to [\d,]+.*%$/)
    for (const name of ['Generated images', 'Interpolations'])
      await vi.waitFor(
        async () => {
          const picture = page.getByRole('img', { name })
          expect(await picture.evaluate((image: { naturalWidth?: number }) => image.naturalWidth)).toBeGreaterThan(100)
        },
        { timeout: 60_000, interval: 200 },
      )
    const [victim = 0] = childrenOf(train.child.pid, 'worker-process')
    process.kill(victim, 'SIGKILL')
    await page.waitForSelector('.incidents li', { timeout: 60_000 })
    expect(await page.textContent('.incidents li')).toMatch(/dead at step [\d,]+: [\d,]+ ms \(/)

    const lines = page.locator('.lines li')
    await vi.waitFor(
      async () => expect(await lines.allTextContents()).toContainEqual(expect.stringContaining('halts')),
      {
        timeout: 60_000,
        interval: 200,
      },
    )
    expect(await lines.allTextContents()).toContainEqual(expect.stringMatching(/warn.*coordinator.*lost/))
    await page.getByLabel('From level').selectOption('warn')
    expect((await lines.allTextContents()).filter((text) => !/(warn|error)/.test(text))).toEqual([])
    await page.getByLabel('From level').selectOption('info')

    await page.setViewportSize({ width: 360, height: 800 })
    await page.emulateMedia({ colorScheme: 'dark' })
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360)
    train.kill('SIGINT')
    await vi.waitFor(async () => expect(await page.textContent('.phase')).toContain('interrupted'), {
      timeout: 60_000,
      interval: 200,
    })
    expect(troubles.filter((trouble) => !trouble.includes('ERR_'))).toEqual([]) // the coordinator is gone at the end
    await page.close()

    const view = new Cli(['view', folder, folder])
    const [, viewAddress] = await view.printed(/page at (http:\S+)/)
    const pair = await browser.newPage({ viewport: { width: 1600, height: 900 } })
    const pairTroubles = troublesOf(pair)
    await pair.goto(String(viewAddress))
    await vi.waitFor(
      async () => {
        const told = await pair.locator('.phase').allTextContents()
        expect(told).toEqual(Array(2).fill('vae on mnist: interrupted'))
        expect(await pair.locator('.incidents li').count()).toBe(2)
        expect(await pair.locator('.losses canvas').count()).toBe(2)
        expect(await pair.locator('.lines li').count()).toBeGreaterThan(10)
        expect(await pair.locator('.advice tbody tr').count()).toBeGreaterThan(4)
      },
      { timeout: 60_000, interval: 200 },
    )
    expect(pairTroubles).toEqual([])
    await pair.close()
    view.kill('SIGINT')
    expect((await view.finished).code).toBe(130)
  })

  it('is not opened on what is no run', async () => {
    const { code, stderr } = await ringleader('view', temporaryFolder())
    expect([code, stderr]).toEqual([2, expect.stringMatching(/there is no config.json; write the folder of a run/)])
    expect((await ringleader('view')).stderr).toMatch(/write the folder of a run/)
    expect((await ringleader('status', 'x')).code).toBe(2)
  })
})
