// Plain JavaScript: the launcher needs it before anything is compiled.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * Runs `work` while no other process of this host does. The lock is a folder that names its owner; that of a dead owner
 * is moved aside. It saves double work; what is written under it must be whole without it (temporary name, rename).
 */
export async function withProcessLock(path, work, onWait = () => {}) {
  mkdirSync(dirname(path), { recursive: true })
  for (let waited = false; !take(path); waited = true) {
    if (isStale(path)) discard(path)
    else {
      if (!waited) onWait()
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
  try {
    return await work()
  } finally {
    rmSync(path, { recursive: true, force: true })
  }
}

function take(path) {
  try {
    mkdirSync(path)
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  }
  writeFileSync(join(path, 'pid'), String(process.pid))
  return true
}

function isStale(path) {
  try {
    process.kill(Number(readFileSync(join(path, 'pid'), 'utf8')), 0)
    return false
  } catch (error) {
    if (error.code === 'ESRCH') return true
    if (error.code !== 'ENOENT') return false
    return existsSync(path) && Date.now() - statSync(path).mtimeMs > 5000 // it died before it wrote its number
  }
}

function discard(path) {
  const aside = `${path}.stale.${process.pid}`
  try {
    renameSync(path, aside)
  } catch (error) {
    if (error.code !== 'ENOENT') throw error // another waiter was first
  }
  rmSync(aside, { recursive: true, force: true })
}
