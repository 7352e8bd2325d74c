#!/usr/bin/env node
// The one executable. In a checkout it installs and compiles what is missing first, so it uses Node's own modules only.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const lockfile = join(root, 'package-lock.json')

checkNode()
if (existsSync(join(root, 'tsconfig.json'))) await prepareCheckout()
const { main } = await import('../dist/cli/main.js')
await main(process.argv.slice(2))

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major === 22 || (major === 20 && minor >= 12) || major > 22) return
  fail(`Node ${process.versions.node} is too old; ringleader needs Node 20.12 or newer, or Node 22`, 78)
}

async function prepareCheckout() {
  const { build } = await import('./build.mjs')
  const { withProcessLock } = await import('../shared/core/process-lock.mjs')
  const installed = join(root, 'node_modules/.ringleader-installed')
  const wanted = createHash('sha256').update(readFileSync(lockfile)).digest('hex')
  const isInstalled = () => existsSync(installed) && readFileSync(installed, 'utf8') === wanted
  await withProcessLock(join(root, '.ringleader-lock'), async () => {
    if (!isInstalled()) {
      process.stderr.write('ringleader: installing packages (npm ci) ...\n')
      const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
        cwd: root,
        stdio: ['ignore', 2, 2],
      })
      if (status !== 0) fail(`npm ci failed in ${root}; its messages are above`, 78)
      writeFileSync(installed, wanted)
    }
    try {
      build()
    } catch (error) {
      fail(error.message, 78)
    }
  })
}

function fail(message, code) {
  process.stderr.write(`ringleader: ${message}\n`)
  process.exit(code)
}
