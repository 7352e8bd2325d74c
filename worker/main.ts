import { hostname } from 'node:os'
import { join } from 'node:path'
import { cacheFolder } from '../shared/core/cache-folder.ts'
import { exitCode, messageOf, RingleaderError } from '../shared/core/errors.ts'
import { limits } from '../shared/core/limits.ts'
import { makeSchedule } from '../shared/core/schedule.ts'
import { ChunkCache } from '../shared/dataset/chunk-cache.ts'
import { type Peer, protocolVersion, type Welcome } from '../shared/protocol/control.ts'
import { type BackendName, openBackend } from './backend/open-backend.ts'
import { BlobClient } from './data/blob-client.ts'
import { openSampleStore } from './data/sample-store.ts'
import { Link } from './link.ts'
import { makeModel } from './model/make-model.ts'
import { encodeCheckpoint, restoreCheckpoint, weightsSha256 } from './step/checkpoint-files.ts'
import { CheckpointSender } from './step/checkpoint-sender.ts'
import { ModelState } from './step/model-state.ts'
import { Trainer } from './step/trainer.ts'

export interface WorkerOptions {
  readonly coordinator: string
  readonly workerId: string
  readonly backend: BackendName
  readonly threads: number
  /** Address that peers connect to, such as tcp://10.0.0.2:0 (0: any free port). */
  readonly dataBind: string
  readonly connectTimeoutMs: number
}

interface Formed {
  readonly generation: number
  readonly rank: number
  readonly step: number
  readonly peers: readonly Peer[]
}

/** One worker, from hello to the run's end. Returns the exit code. */
export async function runWorker(options: WorkerOptions): Promise<number> {
  const backend = await openBackend(options.backend, options.threads)
  const link = new Link(options)
  const session = new Session(link)
  try {
    const endpoint = await link.opened
    link.send({
      kind: 'hello',
      protocolVersion,
      workerId: options.workerId,
      runId: null,
      host: hostname(),
      processId: process.pid,
      backend: `${backend.name} ${backend.version}`,
      threads: options.threads,
    })
    const welcome = await session.welcome
    return await session.train(welcome, backend, endpoint)
  } catch (error) {
    if (session.ended) return session.ended.failed ? exitCode.failed : exitCode.ok
    throw error
  } finally {
    await link.close()
  }
}

class Session {
  readonly welcome: Promise<Welcome>
  ended: { failed: boolean } | null = null
  readonly #link: Link
  readonly #blobs: BlobClient
  #welcomed: (welcome: Welcome) => void = () => {}
  #over: (error: Error) => void = () => {}
  readonly #end: Promise<never>
  #formed: Formed | null = null
  #started: () => void = () => {}
  readonly #start: Promise<void>
  #stopWanted = false
  #sender: CheckpointSender | null = null
  #checkpointWanted = false
  #wake: () => void = () => {}

  constructor(link: Link) {
    this.#link = link
    this.#blobs = new BlobClient((sha256) => link.send({ kind: 'blobRequest', sha256 }))
    const welcomed = new Promise<Welcome>((resolve) => {
      this.#welcomed = resolve
    })
    this.#start = new Promise((resolve) => {
      this.#started = resolve
    })
    this.#end = new Promise((_, reject) => {
      this.#over = reject
    })
    this.#end.catch((error: Error) => this.#blobs.fail(error))
    this.welcome = Promise.race([welcomed, this.#end])
    link.onMessage((incoming) => this.#receive(incoming))
    link.onLost((reason) => {
      link.abort(reason)
      this.#finish(new RingleaderError('coordinator-lost', reason, { exit: exitCode.temporary }))
    })
  }

  async train(welcome: Welcome, backend: Awaited<ReturnType<typeof openBackend>>, endpoint: string): Promise<number> {
    const { config, manifest } = welcome
    this.#link.connected(welcome.runId, welcome.heartbeatMs)
    const model = makeModel(config, manifest.sampleBytes)
    const state = new ModelState(model.spec, Math.max(config.batchSize, 100) * model.spec.latentSize * 4 + 65_536)
    this.#link.useMemory(state.memory)
    let step = 0
    if (welcome.restore) {
      const [weights, optimizer] = await Promise.all([
        this.#join(welcome.restore.weights),
        this.#join(welcome.restore.optimizer),
      ])
      restoreCheckpoint(state, weights, optimizer, welcome.restore.optimizerSteps)
      step = welcome.restore.step
    } else state.initialize(config.seed, config.initializer)
    const cache = new ChunkCache(join(cacheFolder(), 'chunks'), limits.chunkCacheBytes)
    const source = openSampleStore(manifest, cache, (sha256) => this.#blobs.fetch(sha256))
    const schedule = makeSchedule(config, manifest.sampleCount)
    const trainer = new Trainer(config, model, state, backend, source, schedule)
    this.#link.send({ kind: 'ready', endpoint: this.#advertised(endpoint), step })
    await Promise.race([this.#start, this.#end])
    const formed = this.#formed
    if (!formed) throw new RingleaderError('protocol', 'the coordinator started a group that it had not formed')
    const group = {
      generation: formed.generation,
      rank: formed.rank,
      worldSize: formed.peers.length,
      allReduce: (...bucket: [number, number, number, number]) => this.#link.allReduce(...bucket),
    }
    const leads = formed.rank === 0
    this.#sender = new CheckpointSender(model.spec, (message, bytes) => this.#link.send(message, bytes))
    let stopped = false
    try {
      for (; step < schedule.totalSteps && !stopped; ) {
        const result = await trainer.step(step, group, this.#stopWanted)
        step = result.committed.step
        stopped = result.stop
        this.#link.report(step, backend.tensorCount())
        this.#link.send({ kind: 'committed', generation: formed.generation, steps: [result.committed] })
        const last = stopped || step === schedule.totalSteps
        const plan = schedule.plan(step - 1)
        if (leads && (last || due(step, config.sampleEvery, plan.lastOfEpoch))) await this.#sendSamples(trainer, step)
        if (last || due(step, config.checkpointEvery, plan.lastOfEpoch))
          await this.#checkpoint(state, step, leads, last)
        await new Promise((resolve) => setImmediate(resolve)) // lets messages in
      }
    } catch (error) {
      if (this.ended) throw error
      if (!(error instanceof RingleaderError && error.code === 'collective')) {
        this.#link.send({ kind: 'leave', reason: messageOf(error) }) // this rank's own failure, not a peer's
        throw error
      }
      this.#link.send({ kind: 'failed', generation: formed.generation, step, reason: messageOf(error) })
      return await this.#afterFailure(state, step)
    }
    await this.#sender.idle()
    this.#link.send({
      kind: 'finished',
      generation: formed.generation,
      step,
      weightsSha256: weightsSha256(state),
      stopped: stopped && step < schedule.totalSteps,
    })
    await Promise.allSettled([this.#end])
    if (this.ended) return this.ended.failed ? exitCode.failed : exitCode.ok
    return exitCode.temporary
  }

  /** The group is gone, the committed state is not: the coordinator may ask for it before it says goodbye. */
  async #afterFailure(state: ModelState, step: number): Promise<number> {
    for (;;) {
      if (this.#checkpointWanted) {
        this.#checkpointWanted = false
        await this.#checkpoint(state, step, true, true)
      }
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      const over = await Promise.race([woken.then(() => false), this.#end.catch(() => true)])
      if (over) return this.ended ? exitCode.failed : exitCode.temporary
    }
  }

  async #checkpoint(state: ModelState, step: number, send: boolean, wait: boolean): Promise<void> {
    const hash = weightsSha256(state)
    this.#link.send({ kind: 'replicaHash', step, weightsSha256: hash })
    if (!send || !this.#sender) return
    await this.#sender.idle()
    const sending = this.#sender.start(step, hash, encodeCheckpoint(state))
    if (wait) await Promise.race([sending, this.#end])
  }

  async #sendSamples(trainer: Trainer, step: number): Promise<void> {
    const images = await trainer.samples(100)
    this.#link.send(
      { kind: 'samples', step, count: 100 },
      new Uint8Array(images.buffer, images.byteOffset, images.byteLength),
    )
  }

  async #join(pieces: readonly { sha256: string; bytes: number }[]): Promise<Uint8Array> {
    const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.bytes, 0))
    let position = 0
    for (let start = 0; start < pieces.length; start += limits.blobWindow) {
      const window = pieces.slice(start, start + limits.blobWindow)
      for (const bytes of await Promise.all(window.map((piece) => this.#blobs.fetch(piece.sha256)))) {
        whole.set(bytes, position)
        position += bytes.byteLength
      }
    }
    return whole
  }

  /** A bound wildcard is no address for others; the host's name is. */
  #advertised(endpoint: string): string {
    return endpoint.replace('//0.0.0.0:', `//${hostname()}:`)
  }

  #receive({ message, bytes }: Parameters<Parameters<Link['onMessage']>[0]>[0]): void {
    switch (message.kind) {
      case 'welcome':
        return this.#welcomed(message)
      case 'refused':
        return this.#finish(
          new RingleaderError(message.code, `the coordinator refused: ${message.message}`, { exit: exitCode.config }),
        )
      case 'form':
        this.#formed = message
        return this.#link.form(message.generation, message.rank, message.peers)
      case 'start':
        return this.#started()
      case 'abort':
        return // the communication thread has aborted the collective already
      case 'stop':
        this.#stopWanted = true
        return
      case 'checkpointNow':
        this.#checkpointWanted = true
        return this.#wake()
      case 'checkpointAck':
        return this.#sender?.acknowledge()
      case 'blob':
        return bytes ? this.#blobs.receive(message.sha256, bytes) : undefined
      case 'bye':
        this.ended = { failed: message.failed }
        return this.#finish(new RingleaderError('run-over', message.reason))
      case 'pulse':
        return
      default:
        message satisfies never
    }
  }

  #finish(error: Error): void {
    this.#over(error)
    this.#wake()
  }
}

/** At every multiple of `every` steps; at each end of an epoch where `every` is 0. */
function due(step: number, every: number, lastOfEpoch: boolean): boolean {
  return every > 0 ? step % every === 0 : lastOfEpoch
}
