import { homedir } from 'node:os'
import { join } from 'node:path'

/** Per-user cache: $RINGLEADER_CACHE, else $XDG_CACHE_HOME/ringleader, else ~/.cache/ringleader. */
export function cacheFolder(): string {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  return process.env.RINGLEADER_CACHE || join(base, 'ringleader')
}
