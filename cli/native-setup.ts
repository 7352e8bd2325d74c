import { availableParallelism } from 'node:os'
import { createInterface } from 'node:readline/promises'
import { usage } from '../shared/core/config.ts'
import { exitCode, RingleaderError } from '../shared/core/errors.ts'
import { type BuildOptions, buildNative, type Cost } from '../worker/backend/native/build-native.ts'
import { otherWheels } from '../worker/backend/native/library-set.ts'
import { requireNative } from '../worker/backend/native/load-native-binding.ts'
import { type BackendName, onDevice } from '../worker/backend/open-backend.ts'

const say = (line: string) => process.stderr.write(`ringleader: ${line}\n`)

/** Sets TensorFlow up where that is possible; false, with one line about it, where it is not. */
export async function prepareNative(verify: boolean): Promise<boolean> {
  return prepared({ say, verify }, 'no native TensorFlow: ', '. Using the wasm backend, which is 5 to 20 times slower')
}

/** The same for NVIDIA's cards; asks before it fetches so much, unless told not to. */
export async function prepareGpu(agreed: boolean): Promise<boolean> {
  const others = process.env[otherWheels]
  if (others) say(`takes the wheels of ${others} instead of its own, since ${otherWheels} is set`)
  const agree = agreed ? tell : ask
  return prepared({ say, verify: true, kind: 'gpu', agree }, 'no TensorFlow for GPUs: ', '')
}

async function prepared(options: BuildOptions, before: string, after: string): Promise<boolean> {
  try {
    const native = await buildNative(options)
    if (options.verify) say(`TensorFlow ${native.manifest.tensorflow} is set up in ${native.folder}`)
    return true
  } catch (error) {
    if (!(error instanceof RingleaderError && error.recoverable)) throw error
    say(`${before}${error.message}${after}`)
    return false
  }
}

const price = ({ fetchMegabytes, keepMegabytes, folder }: Cost) =>
  `fetches ${fetchMegabytes} MB and keeps ${keepMegabytes} MB in ${folder}`

async function tell(cost: Cost): Promise<void> {
  say(`setup --gpu ${price(cost)}`)
}

async function ask(cost: Cost): Promise<void> {
  if (!process.stdin.isTTY) throw usage(`setup --gpu ${price(cost)}; write --yes to agree`)
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(`ringleader: setup --gpu ${price(cost)}. Go on? [y/N] `)
  terminal.close()
  if (!/^y(es)?$/i.test(answer.trim()))
    throw new RingleaderError('declined', 'nothing was fetched', { exit: exitCode.failed })
}

/** The backend that the workers of this host are told to use. */
export async function chosenBackend(wanted: BackendName): Promise<BackendName> {
  if (wanted === 'tensorflow-gpu') requireNative('gpu')
  if (wanted === 'wasm' || onDevice(wanted)) return wanted
  if (await prepareNative(false)) return 'tensorflow'
  return wanted === 'tensorflow' ? 'tensorflow' : 'wasm'
}

/** Threads for each of the workers on this host. */
export function threadsPerWorker(workers: number): number {
  return Math.max(1, Math.floor(availableParallelism() / workers))
}
