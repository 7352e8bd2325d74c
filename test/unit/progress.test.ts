import { describe, expect, it } from 'vitest'
import { suggestion } from '../../cli/parse.ts'
import { duration, Progress } from '../../cli/progress.ts'
import { checkedAddress, hostAndPort } from '../../cli/values.ts'
import { resolveConfig } from '../../shared/core/config.ts'
import { makeSchedule } from '../../shared/core/schedule.ts'
import type { CommittedStep } from '../../shared/protocol/control.ts'

const schedule = makeSchedule(resolveConfig({ epochs: 2, batchSize: 100 }), 250)

function committed(step: number): CommittedStep {
  const { epoch } = schedule.plan(step - 1)
  return {
    step,
    epoch,
    batches: [],
    images: step % 3 === 0 ? 50 : 100,
    scalars: { vaeLoss: step, vaeGradientNorm: 9 },
    skipped: false,
    seconds: 0.5,
    allReduceSeconds: 0,
    phaseSeconds: {},
    time: 0,
    allReduceBytes: 0,
  }
}

describe('progress', () => {
  it('is one line an epoch without a terminal', () => {
    let text = ''
    const progress = new Progress({ write: (part) => (text += part) }, schedule, () => 0)
    progress.group(1, 2, 0)
    for (let step = 1; step <= 6; step++) progress.committed(committed(step))
    progress.end()
    expect(text.split('\n')).toEqual([
      'generation 1: 2 workers, from step 0',
      'epoch 1/2  3/3 [====================]  0:02  500 ms/step  167 images/s  vaeLoss 2.000  2 workers  ETA 0:02',
      'epoch 2/2  3/3 [====================]  0:02  500 ms/step  167 images/s  vaeLoss 5.000  2 workers  ETA 0:00',
      '',
    ])
  })

  it('is drawn over itself on a terminal, ten times a second at most', () => {
    const parts: string[] = []
    let now = 1000
    const progress = new Progress({ isTTY: true, write: (part) => parts.push(part) }, schedule, () => now)
    progress.committed(committed(1))
    progress.committed(committed(2))
    now += 200
    progress.committed(committed(2))
    expect(parts).toHaveLength(2)
    expect(parts[0]).toMatch(/^\r.*\[={6}\.{14}\]/)
    progress.end()
    expect(parts.at(-1)).toBe('\n')
  })

  it('durations read as people write them', () => {
    expect([0, 59.6, 61, 3725].map(duration)).toEqual(['0:00', '1:00', '1:01', '1:02:05'])
  })
})

describe('arguments', () => {
  it('a near name is suggested, a far one is not', () => {
    expect(suggestion('epoch', ['epochs', 'steps'], '--')).toBe('; did you mean --epochs?')
    expect(suggestion('xyzzy', ['epochs', 'steps'], '--')).toBe('')
  })

  it('addresses are checked', () => {
    expect(hostAndPort('9464')).toEqual({ host: '127.0.0.1', port: 9464 })
    expect(hostAndPort('0.0.0.0:80')).toEqual({ host: '0.0.0.0', port: 80 })
    for (const bad of ['', 'a', '1:2:3', 'host:99999']) expect(() => hostAndPort(bad)).toThrow('write HOST:PORT')
    expect(checkedAddress('bind', 'tcp://host:1')).toBe('tcp://host:1')
    for (const bad of ['host:1', 'tcp://host', 'tcp://:1', 'udp://h:1', 'tcp://h:70000'])
      expect(() => checkedAddress('bind', bad)).toThrow('write tcp://HOST:PORT')
  })
})
