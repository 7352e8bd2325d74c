import { existsSync } from 'node:fs'
import { type Browser, chromium, type Page } from 'playwright-core'
import { available } from './cli.ts'

const executablePath = ['chromium', 'chromium-browser', 'google-chrome']
  .map((name) => `/usr/bin/${name}`)
  .find(existsSync)

export const hasChromium = available(executablePath !== undefined, 'Chromium')

export function openChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: executablePath ?? '',
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  })
}

/** What the browser complains about: a policy that is broken, code that fails, a file that is not there. */
export function troublesOf(page: Page): string[] {
  const troubles: string[] = []
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && troubles.push(message.text()))
  page.on('pageerror', ({ message }) => troubles.push(message))
  return troubles
}
