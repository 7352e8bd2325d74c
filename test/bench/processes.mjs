import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const cli = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'cli/ringleader.mjs')

/** A process of the program, which gathers what it prints in `said`. */
export function start(...args) {
  const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  child.said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (bytes) => {
      child.said += bytes
    })
  return child
}

/** The first group of the pattern, once it is printed; an error with all that was said where the process ends before. */
export async function printed(child, pattern) {
  for (;;) {
    const match = pattern.exec(child.said)
    if (match) return match[1] ?? match[0]
    if (child.exitCode !== null) throw new Error(child.said)
    await sleep(50)
  }
}

/** The whole lines of a file of JSON lines; none where there is no file yet. */
export function wholeLines(path) {
  let text = ''
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
  }
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
}
