import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { vi } from 'vitest'
import { available, childrenOf, patience } from './cli.ts'

export const canMakeNamespaces = available(
  process.platform === 'linux' && process.getuid?.() === 0 && spawnSync('ip', ['netns', 'list']).status === 0,
  'making network namespaces (as root, with ip)',
)

/** Processes of their own, and a /proc that shows no others: with `TwoHosts`, a host that shares no memory with this one. */
export class OwnProcesses {
  readonly #child: ChildProcess
  readonly #first: number

  static async start(): Promise<OwnProcesses> {
    const child = spawn('unshare', ['--pid', '--fork', '--mount-proc', '--kill-child', 'sleep', '600'])
    const first = await vi.waitUntil(() => childrenOf(child.pid, 'sleep')[0], patience)
    return new OwnProcesses(child, first ?? 0)
  }

  private constructor(child: ChildProcess, first: number) {
    this.#child = child
    this.#first = first
  }

  /** Words to put before a command so that it runs there. */
  get within(): string[] {
    return ['nsenter', '--target', String(this.#first), '--pid', '--mount', '--']
  }

  remove(): void {
    this.#child.kill('SIGKILL')
  }
}

/** A network namespace that two others reach, each over a link of its own; these two do not reach each other. */
export class Spokes {
  readonly #names: readonly [string, string, string]
  readonly #subnet: string

  constructor() {
    const id = process.pid % 60_000
    this.#names = [`rl${id}h`, `rl${id}x`, `rl${id}y`]
    this.#subnet = `10.${100 + (id % 50)}`
    for (const name of this.#names) {
      ip('netns', 'add', name)
      ip('-n', name, 'link', 'set', 'lo', 'up')
    }
    const [hub] = this.#names
    for (const spoke of [1, 2] as const) {
      const name = this.#names[spoke]
      ip('link', 'add', `${name}v`, 'netns', name, 'type', 'veth', 'peer', 'name', `${name}h`, 'netns', hub)
      for (const [host, device, address] of [
        [hub, `${name}h`, this.hubAddress(spoke)],
        [name, `${name}v`, this.address(spoke)],
      ] as const) {
        ip('-n', host, 'addr', 'add', `${address}/24`, 'dev', device)
        ip('-n', host, 'link', 'set', device, 'up')
      }
    }
  }

  /** Where spoke 1 or 2 finds the hub. */
  hubAddress(spoke: 1 | 2): string {
    return `${this.#subnet}.${spoke}.1`
  }

  address(spoke: 1 | 2): string {
    return `${this.#subnet}.${spoke}.2`
  }

  /** Words to put before a command so that it runs in the hub (0), or on a spoke. */
  on(place: 0 | 1 | 2): string[] {
    return ['ip', 'netns', 'exec', this.#names[place]]
  }

  remove(): void {
    for (const name of this.#names) ip('netns', 'del', name)
  }
}

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
