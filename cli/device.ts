import { usage } from '../shared/core/config.ts'
import { limits } from '../shared/core/limits.ts'
import { type Devices, findDevices } from '../worker/backend/devices.ts'
import { type BackendName, backendNames, onDevice } from '../worker/backend/open-backend.ts'
import { wholeNumber } from './values.ts'

export const backendFlag = {
  type: 'string',
  describe: 'tensorflow, tensorflow-gpu, webgpu, wasm or auto',
  default: 'auto',
} as const
export const deviceFlag = {
  type: 'string',
  describe:
    'cpu, cuda:N, webgpu, or webgpu:NAME with a part of a name of ringleader devices (default: as --backend says)',
} as const

/** What a worker computes with, and on which GPU, by a part of its name or, of CUDA, by its number; null: the fastest, the first, or none. */
export interface Engine {
  readonly backend: BackendName
  readonly device: string | null
}

export function checkedBackend(value: unknown): BackendName {
  const name = backendNames.find((candidate) => candidate === value)
  if (!name) throw usage(`--backend ${String(value)} is unknown; write one of ${backendNames.join(', ')}`)
  return name
}

/** `--backend` and `--device` together. */
export function checkedEngine(backend: unknown, device: unknown): Engine {
  const named = checkedBackend(backend)
  if (device === undefined) return { backend: named, device: null }
  const text = String(device)
  const [kind = '', ...rest] = text.split(':')
  const name = rest.join(':')
  const against = (wanted: string) => usage(`--device ${text} and --backend ${named} are two things; write ${wanted}`)
  if (text === 'cpu') {
    if (onDevice(named)) throw against('--backend tensorflow')
    return { backend: named, device: null }
  }
  if (kind === 'cuda' && /^(0|[1-9]\d?)?$/.test(name) && !text.endsWith(':')) {
    if (named !== 'tensorflow-gpu' && named !== 'auto') throw against('--backend tensorflow-gpu')
    return { backend: 'tensorflow-gpu', device: name || null }
  }
  if (kind !== 'webgpu' || (rest.length > 0 && name === ''))
    throw usage(`--device ${text} is unknown; write cpu, or cuda:N or webgpu:NAME as ringleader devices lists them`)
  if (named !== 'webgpu' && named !== 'auto') throw against('--backend webgpu')
  return { backend: 'webgpu', device: name || null }
}

/** `--device` of `train`: one or several, with commas between them, which the workers take in turns. */
export function checkedEngines(backend: unknown, devices: unknown): readonly Engine[] {
  if (devices === undefined) return [checkedEngine(backend, undefined)]
  return String(devices)
    .split(/,\s*(?=cpu|webgpu|cuda)/) // names have commas of their own
    .map((device) => checkedEngine(backend, device.trim()))
}

export interface Crowd {
  readonly workers: number
  readonly engines: readonly Engine[]
}

/**
 * `--workers auto`: one worker for each GPU that is none in software, through CUDA where that is set up; without one, or with `--backend`
 * or `--device`, one for each core.
 */
export async function automaticCrowd(engines: readonly Engine[], find = findDevices): Promise<Crowd> {
  const open = engines.length === 1 && engines[0]?.backend === 'auto'
  const { cores, devices }: Devices = await find()
  const cuda = devices.filter(({ backend }) => backend === 'tensorflow-gpu')
  const webgpu = devices.filter(
    ({ backend, name, software }) => backend === 'webgpu' && !software && !(cuda.length > 0 && name.includes('NVIDIA')), // not twice
  )
  const gpus = [...cuda, ...webgpu]
  const most = (count: number) => Math.min(count, limits.maxLocalWorkers)
  if (!open || gpus.length === 0) return { workers: most(cores), engines }
  return { workers: most(gpus.length), engines: gpus.map(({ device }) => checkedEngine('auto', device)) }
}

/** The number of `--workers`. */
export function checkedWorkers(value: unknown): number {
  const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value
  return wholeNumber('workers', number, 1, limits.maxLocalWorkers)
}
