import { readFileSync } from 'node:fs'

/** Of this package. */
export function version(): string {
  const file = new URL('../../package.json', import.meta.url) // dist/cli/version.js
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
