import type { Nvidia, NvidiaCard } from './nvidia.ts'

/** Of CUDA 12.2, by NVIDIA's release notes: any driver for CUDA 12 runs what is compiled for a card … */
const leastDriver = '525.60.13'
/** … and that of 12.2 itself compiles the rest: TensorFlow's kernels are compiled for 5.0 to 8.0, which 8.6 and 8.9 run too. */
const leastCompilingDriver = '535.54.03'
const compiledMajor = 8
/** Of the kernels in TensorFlow's wheel, by its `build_info`. */
const leastCapability = '5.0'

/** Why TensorFlow cannot compute on this card, in one line; null: nothing speaks against it. */
export function refusal({ driver, problem }: Nvidia, card: NvidiaCard | null): string | null {
  if (driver === null)
    return `the tensorflow-gpu backend finds no NVIDIA driver (${problem ?? 'none is loaded'}); install ${leastCompilingDriver} or newer, or write --backend tensorflow`
  const capability = card?.computeCapability ?? null
  if (card && capability !== null && isLess(capability, leastCapability))
    return `${card.name} has compute capability ${capability}, and TensorFlow's library is compiled for ${leastCapability} and higher; write --backend webgpu or --backend tensorflow`
  const compiles = capability !== null && Number.parseInt(capability, 10) > compiledMajor
  const least = compiles ? leastCompilingDriver : leastDriver
  if (isLess(driver, least))
    return `NVIDIA's driver ${driver} is too old for ${card?.name ?? 'CUDA 12.2'}; install ${least} or newer, or write --backend webgpu or --backend tensorflow`
  return null
}

/** Of versions, number by number. */
export function isLess(a: string, b: string): boolean {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number))
  for (let index = 0; index < Math.max(left?.length ?? 0, right?.length ?? 0); index++) {
    const difference = (left?.[index] ?? 0) - (right?.[index] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}
