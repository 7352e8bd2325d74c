import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Algorithm } from '../../shared/collective/algorithm.ts'
import type { CompressionName } from '../../shared/compression/codec.ts'
import { SimulatedNetwork } from '../../shared/transport/simulated-transport.ts'
import { type CompressedWorker, compressedWorker, formCompressed } from '../support/compressed-ranks.ts'
import { lcg } from '../support/ranks.ts'

/**
 * `commit`: a step that all apply. `skip`: one that all throw away. `abort`: one in which a rank never takes part. `group`: the
 * workers form again, with other ranks, another algorithm and other chunks.
 */
type Event = 'commit' | 'skip' | 'abort' | 'group'

const elements = 300
const exact = 16
const algorithmsOf = (name: CompressionName): readonly Algorithm[] =>
  name === 'topk' ? ['direct', 'exchange'] : ['direct', 'exchange', 'ring', 'tree', 'hierarchical']

describe('error feedback', () => {
  it('brings all of every committed gradient in the end, and nothing of any other', async () => {
    const stories = fc.record({
      name: fc.constantFrom<CompressionName>('fp16', 'int8', 'topk'),
      worldSize: fc.integer({ min: 1, max: 5 }),
      seed: fc.integer({ min: 0, max: 0xffff }),
      events: fc.array(fc.constantFrom<Event>('commit', 'commit', 'skip', 'abort', 'group'), { maxLength: 14 }),
    })
    await fc.assert(
      fc.asyncProperty(stories, async ({ name, worldSize, seed, events }) => {
        const pick = lcg(seed)
        const story = new Story(name, worldSize, pick)
        for (const event of events) await story.tell(event)
        story.silent = true // gradients of zero: what is left over follows
        for (let step = 0; step < 24; step++) await story.tell(step % 8 === 7 ? 'group' : 'commit')
        const { applied, wanted } = story
        const wrong = applied.findIndex((sum, index) => !(Math.abs(sum - (wanted[index] ?? 0)) <= 1e-4))
        expect(wrong < 0 ? null : [wrong, applied[wrong], wanted[wrong]]).toBeNull()
      }),
      { numRuns: 120 },
    )
  })

  it('is not there for bf16, which loses what it rounds', async () => {
    const story = new Story('bf16', 2, lcg(1))
    for (let step = 0; step < 6; step++) await story.tell('commit')
    story.silent = true
    for (let step = 0; step < 24; step++) await story.tell('commit')
    expect(story.applied.some((sum, index) => Math.abs(sum - (story.wanted[index] ?? 0)) > 1e-3)).toBe(true)
  })
})

/** Workers that live through events; what they applied, and what they should have. */
class Story {
  silent = false
  readonly applied = new Float64Array(elements)
  readonly wanted = new Float64Array(elements)
  readonly #name: CompressionName
  readonly #pick: (count: number) => number
  #workers: CompressedWorker[]
  #ranks: ReturnType<typeof formCompressed> = []
  #generation = 0
  #step = 0

  constructor(name: CompressionName, worldSize: number, pick: (count: number) => number) {
    this.#name = name
    this.#pick = pick
    this.#workers = Array.from({ length: worldSize }, () => compressedWorker(name, elements))
    this.#form()
  }

  async tell(event: Event): Promise<void> {
    if (event === 'group') return this.#form()
    const gradients = this.#workers.map(() => this.#gradient())
    for (const [rank, { data }] of this.#ranks.entries()) data.set(gradients[rank] ?? [])
    if (event === 'abort') await this.#abort()
    else {
      await this.#reduce()
      // A network that moves in several phases of a step is reduced as often.
      if (event === 'skip') await this.#reduce()
    }
    const outcome = event === 'commit' ? 'keep' : 'restore'
    for (const { compression } of this.#workers) compression.settle(outcome)
    if (event === 'abort') return this.#form()
    if (event === 'skip') return
    for (const gradient of gradients) add(this.wanted, gradient)
    add(this.applied, this.#ranks[0]?.data ?? [])
  }

  async #reduce(): Promise<void> {
    const step = this.#step++
    await Promise.all(this.#ranks.map(({ reduce }) => reduce(step, exact)))
    const bits = this.#ranks.map(({ data }) =>
      Buffer.from(Uint8Array.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))),
    )
    for (const other of bits) expect(other.equals(bits[0] ?? other)).toBe(true)
  }

  async #abort(): Promise<void> {
    const step = this.#step++
    const open = this.#ranks.slice(1).map(({ reduce }) => reduce(step, exact))
    const settled = Promise.allSettled(open)
    for (let turn = 0; turn < this.#pick(12); turn++) await new Promise((resolve) => setImmediate(resolve))
    for (const { group } of this.#ranks) group.abort(new Error('a peer is lost'))
    await settled
  }

  #form(): void {
    const names = algorithmsOf(this.#name)
    const algorithm = names[this.#pick(names.length)] ?? 'direct'
    this.#workers = [...this.#workers.slice(1), ...this.#workers.slice(0, 1)]
    const network = new SimulatedNetwork(this.#pick)
    const transports = this.#workers.map(() => network.create())
    const segmentElements = 16 * (1 + this.#pick(6))
    const generation = ++this.#generation
    this.#ranks = formCompressed(this.#workers, transports, { algorithm, generation, segmentElements })
  }

  #gradient(): Float32Array {
    if (this.silent) return new Float32Array(elements)
    return Float32Array.from({ length: elements }, () => (this.#pick(2001) - 1000) / 10 ** (2 + this.#pick(4)))
  }
}

function add(target: Float64Array, values: ArrayLike<number>): void {
  for (let index = 0; index < target.length; index++) target[index] = (target[index] ?? 0) + (values[index] ?? 0)
}
