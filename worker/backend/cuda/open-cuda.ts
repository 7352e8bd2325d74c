import { constants } from 'node:os'
import { join } from 'node:path'
import { exitCode, messageOf, RingleaderError } from '../../../shared/core/errors.ts'
import type { Backend } from '../backend.ts'
import { loadTensorFlowNode, requireNative } from '../native/load-native-binding.ts'
import type { NativeLibrary } from '../native/native-cache.ts'
import { makeCudaBackend } from './cuda-backend.ts'
import { askNvidia, type Nvidia, type VisibleCard, visibleCards } from './nvidia.ts'
import { refusal } from './requirements.ts'

/** TensorFlow's CUDA kernels on one of NVIDIA's cards: the N of `--device cuda:N`; null: the first. A process has one. */
export async function openCuda(device: string | null): Promise<Backend> {
  const native = requireNative('gpu')
  const nvidia = await askNvidia()
  const { visible, card } = chosenCard(nvidia, device)
  const against = refusal(nvidia, card)
  if (against) throw noDevice(against)
  const name = card?.name ?? `cuda:${device ?? 0}`
  Object.assign(process.env, cudaSettings(visible, process.env))
  const binding = loadTensorFlowNode(native, (told) =>
    /TFE_Context/.test(told) ? `${name} does not start; nvidia-smi tells whether its memory is full` : null,
  )
  if (!binding.isUsingGpuDevice()) throw noDevice(whyUnused(name, native))
  return makeCudaBackend(binding, native.manifest.tensorflow, name)
}

/** Read when CUDA and TensorFlow start: exactly one card is visible; the rest is as the user has it. */
export function cudaSettings(visible: string, given: NodeJS.ProcessEnv): Readonly<Record<string, string>> {
  return {
    CUDA_DEVICE_ORDER: 'PCI_BUS_ID', // as nvidia-smi counts
    CUDA_VISIBLE_DEVICES: visible, // with several TensorFlow would reserve memory on all
    TF_FORCE_GPU_ALLOW_GROWTH: given.TF_FORCE_GPU_ALLOW_GROWTH ?? 'true', // else the first process takes the whole memory
    NVIDIA_TF32_OVERRIDE: given.NVIDIA_TF32_OVERRIDE ?? '0', // fp32 means fp32
    TF_DETERMINISTIC_OPS: given.TF_DETERMINISTIC_OPS ?? '1', // the same step twice has the same bits
  }
}

function chosenCard(nvidia: Nvidia, device: string | null): VisibleCard {
  const cards = visibleCards(nvidia)
  const number = Number(device ?? 0)
  const chosen = cards[number]
  if (chosen) return chosen
  if (nvidia.driver === null || (nvidia.cards.length === 0 && process.env.CUDA_VISIBLE_DEVICES === undefined))
    return { visible: String(number), card: null } // nobody knows the cards
  const range = cards.length === 0 ? 'none' : cards.length === 1 ? 'cuda:0' : `cuda:0 to cuda:${cards.length - 1}`
  const setting = process.env.CUDA_VISIBLE_DEVICES
  const because = setting === undefined ? '' : `, since CUDA_VISIBLE_DEVICES is "${setting}"`
  throw noDevice(`there is no cuda:${number} for this process, but ${range}${because}; ringleader devices lists them`)
}

/** In the order in which they need each other; the driver's own first. */
const opened = [
  'cuda_runtime/lib/libcudart.so.12',
  'cublas/lib/libcublasLt.so.12',
  'cublas/lib/libcublas.so.12',
  'cufft/lib/libcufft.so.11',
  'nvjitlink/lib/libnvJitLink.so.12',
  'cusparse/lib/libcusparse.so.12',
  'cusolver/lib/libcusolver.so.11',
  'cudnn/lib/libcudnn.so.8',
]

/** TensorFlow goes on without a word on the CPU where a library of CUDA's does not load; this finds which. */
export function whyUnused(card: string, { folder }: Pick<NativeLibrary, 'folder'>): string {
  const driver = loadProblem('libcuda.so.1')
  if (driver !== null)
    return `the compute part of NVIDIA's driver is missing (${driver}); in a container NVIDIA_DRIVER_CAPABILITIES has to name compute`
  for (const library of opened) {
    const problem = loadProblem(join(folder, 'nvidia', library))
    if (problem !== null)
      return `a library of CUDA's does not load (${problem}); run \`ringleader setup --gpu\`, which verifies them`
  }
  return `TensorFlow does not take ${card}; TF_CPP_MIN_LOG_LEVEL=0 in the environment makes it say why`
}

/** What the loader says against a shared library; null where it takes it. */
export function loadProblem(library: string): string | null {
  try {
    process.dlopen({ exports: {} }, library, constants.dlopen.RTLD_LAZY)
    return null
  } catch (error) {
    const told = messageOf(error)
    return /did not self-register/.test(told) ? null : told // it was loaded, and is no addon
  }
}

function noDevice(message: string): RingleaderError {
  return new RingleaderError('no-device', message, { exit: exitCode.config })
}
