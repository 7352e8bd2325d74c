import { usage } from '../shared/core/config.ts'

export function hostAndPort(text: string, flag = 'http'): { host: string; port: number } {
  const match = /^(?:http:\/\/)?(?:(\[[^\]]+\]|[^:]*):)?(\d+)$/.exec(text)
  const port = Number(match?.[2])
  if (!match || port > 65_535) throw usage(`--${flag} ${text}: write HOST:PORT, such as 127.0.0.1:9464`)
  return { host: match[1] || '127.0.0.1', port }
}

/** An address such as tcp://127.0.0.1:7117. */
export function checkedAddress(flag: string, text: string): string {
  const match = /^tcp:\/\/(\[[^\]]+\]|[^:/]+):(\d+|\*)$/.exec(text)
  if (!match || Number(match[2]) > 65_535)
    throw usage(`--${flag} ${text}: write tcp://HOST:PORT, such as tcp://127.0.0.1:7117`)
  return text
}

/** True where an address is reached from this host alone. */
export function isLoopback(address: string): boolean {
  return /\/\/(127\.|localhost|\[::1\])/.test(address)
}

export function wholeNumber(flag: string, value: unknown, low: number, high: number): number {
  if (Number.isSafeInteger(value) && Number(value) >= low && Number(value) <= high) return Number(value)
  throw usage(`--${flag} ${String(value)}: write a whole number from ${low} to ${high}`)
}
