import { describe, expect, it } from 'vitest'
import { limits } from '../../shared/core/limits.ts'
import { CoordinatorWatch } from '../../worker/coordinator-watch.ts'
import type { FromThread } from '../../worker/thread-messages.ts'

const reconnectTimeoutMs = 10 * limits.orphanMs

describe('the watch over the coordinator', () => {
  it('gives up after as long a silence as it was told', () => {
    const watched = watch()
    watched.look(reconnectTimeoutMs)
    expect(watched.lost()).toEqual([])
    watched.look(250)
    expect(watched.lost()).toEqual([expect.stringMatching(/is silent for 600 s$/)])
  })

  it('does not count the time in which its own process stood still', () => {
    const watched = watch()
    watched.look(60_000)
    watched.stop(5 * reconnectTimeoutMs)
    watched.look(reconnectTimeoutMs - 60_000)
    expect(watched.lost()).toEqual([])
    watched.look(500)
    expect(watched.lost()).toHaveLength(1)
  })

  it('counts anew once something is heard', () => {
    const watched = watch()
    watched.stop(5000)
    watched.heard()
    watched.look(reconnectTimeoutMs + 250)
    expect(watched.lost()).toHaveLength(1)
  })

  it('takes no step after it stood still for long, before it hears that it may', () => {
    const watched = watch()
    watched.stop(limits.orphanMs)
    expect(watched.posted.filter(({ kind }) => kind === 'mayStep')).toEqual([{ kind: 'mayStep', allowed: false }])
    watched.heard()
    expect(watched.posted.at(-1)).toEqual({ kind: 'mayStep', allowed: true })
  })
})

/** One that has heard the coordinator at time 0. */
function watch() {
  const posted: FromThread[] = []
  let now = 0
  let look = () => {}
  const coordinator = new CoordinatorWatch(
    { coordinator: 'tcp://127.0.0.1:1', workerId: 'a', connectTimeoutMs: 30_000, reconnectTimeoutMs },
    {
      now: () => now,
      wallTime: () => now,
      every(_, run) {
        look = run
        return () => {
          look = () => {}
        }
      },
      sleep: () => Promise.resolve(),
    },
    { post: (message) => posted.push(message), reconnected: () => {}, warn: () => {} },
  )
  coordinator.heard()
  return {
    posted,
    heard: () => coordinator.heard(),
    look(ms: number) {
      for (const end = now + ms; now < end; ) {
        now += 250
        look()
      }
    },
    /** Stopped, by a signal or with its machine. */
    stop(ms: number) {
      now += ms
      look()
    },
    lost: () => posted.flatMap((message) => (message.kind === 'lost' ? [message.reason] : [])),
  }
}
