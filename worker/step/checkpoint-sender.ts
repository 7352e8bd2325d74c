import { limits } from '../../shared/core/limits.ts'
import type { ModelSpec } from '../../shared/model/spec.ts'
import type { ToCoordinator } from '../../shared/protocol/control.ts'
import type { CheckpointFiles } from './checkpoint-files.ts'

type Send = (message: ToCoordinator, bytes?: Uint8Array) => void

/** Streams one checkpoint at a time to the coordinator, a window of pieces without acknowledgement. */
export class CheckpointSender {
  readonly #model: ModelSpec
  readonly #send: Send
  #running: Promise<boolean> = Promise.resolve(true)
  #credit: number = limits.checkpointWindow
  #more: () => void = () => {}
  #transfer = 0
  #current: { transfer: number; step: number } | null = null
  #broken: () => void = () => {}

  constructor(model: ModelSpec, send: Send) {
    this.#model = model
    this.#send = send
  }

  /** One is on its way. */
  get busy(): boolean {
    return this.#current !== null
  }

  /** Whether the last one arrived whole. */
  idle(): Promise<boolean> {
    return this.#running
  }

  start(step: number, weightsSha256: string, files: CheckpointFiles): Promise<boolean> {
    const transfer = ++this.#transfer
    this.#current = { transfer, step }
    this.#credit = limits.checkpointWindow
    const broken = new Promise<boolean>((resolve) => {
      this.#broken = () => resolve(false)
    })
    this.#running = Promise.race([
      this.#stream(transfer, step, weightsSha256, files).then(() => transfer === this.#transfer),
      broken,
    ]).finally(() => {
      if (this.#current?.transfer === transfer) this.#current = null
    })
    return this.#running
  }

  /** The coordinator is gone, or has no room: what it had of this checkpoint is lost. */
  abandon(): void {
    this.#transfer++
    this.#current = null
    this.#broken()
    this.#more()
  }

  acknowledge(step: number): void {
    if (step !== this.#current?.step) return // of one that was given up
    this.#credit++
    this.#more()
  }

  async #stream(transfer: number, step: number, weightsSha256: string, files: CheckpointFiles): Promise<void> {
    const parts = [
      { name: 'weights.safetensors' as const, bytes: files.weights },
      { name: 'optimizer.safetensors' as const, bytes: files.optimizer },
    ]
    this.#send({
      kind: 'checkpointBegin',
      step,
      model: this.#model,
      weightsSha256,
      optimizerSteps: files.optimizerSteps,
      files: parts.map((part) => ({ name: part.name, bytes: part.bytes.byteLength })),
    })
    for (const { name, bytes } of parts) {
      for (let offset = 0; offset < bytes.byteLength; offset += limits.checkpointPieceBytes) {
        await this.#takeCredit()
        if (transfer !== this.#transfer) return
        this.#send(
          { kind: 'checkpointPiece', step, file: name, offset },
          bytes.slice(offset, offset + limits.checkpointPieceBytes),
        )
      }
    }
    await this.#takeCredit()
    if (transfer !== this.#transfer) return
    this.#send({ kind: 'checkpointEnd', step })
    while (this.#credit < limits.checkpointWindow && transfer === this.#transfer) {
      await new Promise<void>((resolve) => {
        this.#more = resolve
      })
    }
  }

  async #takeCredit(): Promise<void> {
    const transfer = this.#transfer
    while (this.#credit === 0 && transfer === this.#transfer) {
      await new Promise<void>((resolve) => {
        this.#more = resolve
      })
    }
    this.#credit--
  }
}
