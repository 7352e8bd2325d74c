import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../shared/core/clock.ts'
import { resolveConfig } from '../../shared/core/config.ts'
import { RingleaderError } from '../../shared/core/errors.ts'
import { evenDeal } from '../../shared/core/schedule.ts'
import { encodeOffer } from '../../shared/protocol/file-lane.ts'
import { OwnFile } from '../../shared/transport/lane-file.ts'
import { loadTensorFlowNode, requireNative } from '../../worker/backend/native/load-native-binding.ts'
import { makeNativeBackend } from '../../worker/backend/native/native-backend.ts'
import { findNative } from '../../worker/backend/native/native-cache.ts'
import { copyRoom, HostState } from '../../worker/host-state.ts'
import { makeModel } from '../../worker/model/make-model.ts'
import { nextUpdate } from '../../worker/optimizer/optimizer.ts'
import { initializeWeights } from '../../worker/step/initial-weights.ts'
import { ModelState } from '../../worker/step/model-state.ts'
import { Stopwatch } from '../../worker/step/stopwatch.ts'
import { updatePart } from '../../worker/step/update-part.ts'
import { updateTogether } from '../../worker/step/update-together.ts'
import { available } from '../support/cli.ts'
import { alone, imageOf } from '../support/training.ts'

const shared = available(OwnFile.create() !== null, '/dev/shm') && available(findNative() !== null, 'native TensorFlow')
const network = 'encoder'
const open: { close(): void }[] = []

afterEach(() => {
  for (const each of open.splice(0)) each.close()
})

describe.skipIf(!shared)('the state that ranks of a host hold together', () => {
  it.each(['adam', 'rmsprop', 'sgd'] as const)(
    'has the bits of one that each has alone, update after update: %s',
    async (optimizer) => {
      const { ranks, single, step, expectSame } = start(3, optimizer)
      for (let number = 0; number < 5; number++) {
        const meeting = all(ranks.length)
        await Promise.all(ranks.map((rank) => step(rank, number, meeting)))
        single(number)
        for (const { state } of ranks) expectSame(state)
      }
      const homes = ranks.map(({ home }) => home)
      expect(ranks.map(({ state }) => state.network(network).weights)).not.toEqual(homes)
      for (const { copies } of ranks) close(copies)
      expect(ranks.map(({ state }) => state.network(network).weights)).toEqual(homes)
      for (const { state } of ranks) expectSame(state)
    },
  )

  it('is whole on a rank whose peer has died in an update, and stays so when that one was only asleep', async () => {
    const { ranks, single, step, expectSame } = start(2, 'adam')
    const [survivor, sleeper] = ranks
    if (!survivor || !sleeper) throw new Error('two ranks')
    const meeting = all(2)
    await Promise.all(ranks.map((rank) => step(rank, 0, meeting)))
    await step(survivor, 1, gone)
    single(0)
    single(1)
    expectSame(survivor.state)
    await step(sleeper, 1, gone)
    expectSame(survivor.state)
    close(survivor.copies)
    expectSame(survivor.state)
    sleeper.state.floats(sleeper.state.network(network).weights, 1000).fill(7) // nobody else's any more
    expectSame(survivor.state)
  })

  it('fails with an update for any other reason, and counts as it was', async () => {
    const { ranks, step, expectSame } = start(2, 'adam')
    const [rank] = ranks
    if (!rank) throw new Error('two ranks')
    await expect(step(rank, 0, () => Promise.reject(new Error('a broken disk')))).rejects.toThrow('a broken disk')
    expectSame(rank.state)
  })

  it('is not held where the file is gone', () => {
    const { state, room } = make('adam')
    const file = OwnFile.create()
    if (!file || !room) throw new Error('there is a file')
    const own = encodeOffer(file.offer)
    file.close()
    expect(HostState.open(state, room, 0, { generation: 1, own, peers: [] })).toBeNull()
  })
})

function close(copies: HostState): void {
  open.splice(open.indexOf(copies), 1)
  copies.close()
}

type Meeting = () => Promise<number>

const gone: Meeting = () => Promise.reject(new RingleaderError('collective', 'a peer is lost', { recoverable: true }))

/** Settles when so many have come. */
function all(count: number): Meeting {
  let come = 0
  const waiting: (() => void)[] = []
  return () =>
    new Promise((resolve) => {
      waiting.push(() => resolve(0))
      if (++come % count === 0) for (const go of waiting.splice(0)) go()
    })
}

function make(optimizer: 'adam' | 'rmsprop' | 'sgd') {
  const config = resolveConfig({ model: 'vae', steps: 1, optimizer })
  const state = new ModelState(makeModel(config, imageOf(784)).spec, 1 << 16)
  initializeWeights(state, 5, 'torch')
  const binding = loadTensorFlowNode(requireNative('cpu'))
  const room = copyRoom(state, network, binding)
  return { config, state, room, backend: makeNativeBackend(binding, '') }
}

function start(worldSize: number, optimizer: 'adam' | 'rmsprop' | 'sgd') {
  const file = OwnFile.create()
  if (!file) throw new Error('there is room in /dev/shm')
  open.push(file)
  const offer = encodeOffer(file.offer)
  const ranks = Array.from({ length: worldSize }, (_, rank) => {
    const { config, state, room, backend } = make(optimizer)
    const files = { generation: 1, own: offer, peers: rank === 0 ? [] : [[0, offer] as const] }
    const copies = room && HostState.open(state, room, rank, files)
    if (!copies) throw new Error('the copies are mapped')
    open.push(copies)
    return { rank, config, state, backend, copies, home: state.network(network).weights }
  })
  const { config, state: expected, backend } = make(optimizer)
  const update = (state: ModelState, number: number) => {
    const { count, gradients } = state.network(network)
    const values = Float32Array.from({ length: count }, (_, index) => Math.sin(index + 1000 * number))
    state.floats(gradients[0] ?? 0, count).set(values)
    return { update: nextUpdate(config, state.network(network), 1e-3), wide: [] }
  }
  return {
    ranks,
    single: (number: number) => updatePart(expected, backend, update(expected, number), 0, 1),
    step({ rank, state, copies, backend: own }: (typeof ranks)[number], number: number, allReduce: Meeting) {
      const host = { allReduce, gather: () => allReduce, overlaps: false, factors: true, copies }
      const group = { ...alone, rank, worldSize, deal: evenDeal(worldSize, 8) }
      const place = { step: number, index: 0, watch: new Stopwatch(systemClock, () => {}) }
      return updateTogether(state, own, update(state, number), host, group, place)
    },
    expectSame(state: ModelState) {
      const [found, wanted] = [state, expected].map((of) => {
        const { weights, count } = of.network(network)
        return of.bytes(weights, 3 * count * 4)
      })
      expect(Buffer.compare(found ?? new Uint8Array(0), wanted ?? new Uint8Array(0))).toBe(0)
      const bias = (of: ModelState) => of.slots.find(({ name }) => name.endsWith('bias'))?.weights // a view has moved too
      expect(bias(state)).toEqual(bias(expected))
    },
  }
}
