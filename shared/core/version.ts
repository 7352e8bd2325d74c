import { existsSync, readFileSync } from 'node:fs'

/** Of this package: its package.json is above this file, however deep that lies once it is compiled. */
export function version(): string {
  let folder = new URL('.', import.meta.url)
  while (!existsSync(new URL('package.json', folder))) folder = new URL('..', folder)
  return (JSON.parse(readFileSync(new URL('package.json', folder), 'utf8')) as { version: string }).version
}
