import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { usage } from '../shared/core/config.ts'
import { exitCode, messageOf, RingleaderError } from '../shared/core/errors.ts'

/** 256 bits: nobody guesses that. */
const tokenBytes = 32

/**
 * The token in a file, which is made where it is missing and readable by its owner alone. One that is there is taken, so that
 * a coordinator that comes back has the token that pages know. Errors: exit code 2 where the file holds no token.
 */
export function openToken(path: string): string {
  try {
    if (!existsSync(path))
      writeFileSync(path, `${randomBytes(tokenBytes).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' })
    const token = readFileSync(path, 'utf8').trim()
    if (/^[\x21-\x7e]{16,256}$/.test(token)) return token
  } catch (error) {
    throw new RingleaderError('token', `cannot use ${path}: ${messageOf(error)}; write another --token-file`, {
      cause: error,
      exit: exitCode.config,
    })
  }
  throw usage(`${path} holds no token; write 16 to 256 letters, digits and signs without a space, or remove the file`)
}
