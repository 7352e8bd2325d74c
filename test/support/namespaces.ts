import { execFileSync, spawnSync } from 'node:child_process'
import { available } from './cli.ts'

export const canMakeNamespaces = available(
  process.platform === 'linux' && process.getuid?.() === 0 && spawnSync('ip', ['netns', 'list']).status === 0,
  'making network namespaces (as root, with ip)',
)

/** Two network namespaces joined by a link of their own: two hosts, as far as sockets can tell. */
export class TwoHosts {
  readonly first: string
  readonly second: string
  readonly firstAddress: string
  readonly secondAddress: string

  constructor() {
    const id = process.pid % 60_000
    this.first = `rl${id}a`
    this.second = `rl${id}b`
    const subnet = `10.${200 + (id % 50)}.${Math.floor(id / 50) % 250}`
    this.firstAddress = `${subnet}.1`
    this.secondAddress = `${subnet}.2`
    for (const name of [this.first, this.second]) ip('netns', 'add', name)
    ip(
      'link',
      'add',
      `${this.first}v`,
      'netns',
      this.first,
      'type',
      'veth',
      'peer',
      'name',
      `${this.second}v`,
      'netns',
      this.second,
    )
    for (const [name, address] of [
      [this.first, this.firstAddress],
      [this.second, this.secondAddress],
    ] as const) {
      ip('-n', name, 'addr', 'add', `${address}/24`, 'dev', `${name}v`)
      ip('-n', name, 'link', 'set', `${name}v`, 'up')
      ip('-n', name, 'link', 'set', 'lo', 'up')
    }
  }

  /** Words to put before a command so that it runs on that host. */
  on(name: string): string[] {
    return ['ip', 'netns', 'exec', name]
  }

  /** Cuts the link between the two, without a word to either. */
  cut(): void {
    ip('-n', this.first, 'link', 'set', `${this.first}v`, 'down')
  }

  heal(): void {
    ip('-n', this.first, 'link', 'set', `${this.first}v`, 'up')
  }

  remove(): void {
    for (const name of [this.first, this.second]) ip('netns', 'del', name)
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] })
}

/** A disk of so many megabytes, mounted on a folder; it goes with `remove`. */
export function smallDisk(folder: string, megabytes: number): { remove(): void } {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder])
  return { remove: () => void execFileSync('umount', [folder]) }
}
