import { exitCode, messageOf, RingleaderError } from '../../../shared/core/errors.ts'

export interface Adapter extends GPUAdapter {
  readonly info: GPUAdapterInfo
}

/** What is used of Dawn's Node bindings (npm `webgpu`). */
interface Dawn {
  create(flags: readonly string[]): { requestAdapter(options: GPURequestAdapterOptions): Promise<Adapter | null> }
  readonly globals: object
}

/** Dawn's bindings; a RingleaderError that says how to get them where they are not installed. */
export async function loadDawn(): Promise<Dawn> {
  const name = 'webgpu' // optional: not there to be typed, perhaps
  try {
    const dawn = (await import(name)) as Dawn
    Object.assign(globalThis, dawn.globals)
    return dawn
  } catch (error) {
    throw new RingleaderError(
      'webgpu',
      `the webgpu backend is not installed here (${messageOf(error).split('\n')[0]}); run npm install --include=optional, or write --backend tensorflow`,
      { cause: error, exit: exitCode.config },
    )
  }
}

/**
 * Names of the devices that Dawn finds. It lists them in its error about a name that none has; devices of the same name cannot be
 * told apart by it.
 */
export async function deviceNames({ create }: Dawn): Promise<string[]> {
  try {
    await create(['adapter=(a name that no device has)']).requestAdapter({})
    return []
  } catch (error) {
    return [...messageOf(error).matchAll(/name: '([^']+)'/g)].map(([, name = '']) => name)
  }
}

/** The device whose name contains this, or the fastest one, as `navigator.gpu`, where TensorFlow.js looks for it. */
export async function provideGpu(dawn: Dawn, device: string | null): Promise<Adapter> {
  const names = await deviceNames(dawn)
  const none = (message: string) => new RingleaderError('no-device', message, { exit: exitCode.config })
  if (names.length === 0)
    throw none(
      'the webgpu backend finds no GPU: Vulkan (Linux), Metal or Direct3D 12 has to know one; write --backend tensorflow, or see docs/gpu.md',
    )
  if (device !== null && !names.some((name) => name.includes(device)))
    throw none(`no GPU is called ${device}; write --device webgpu:NAME with a part of one of: ${names.join('; ')}`)
  const gpu = dawn.create(device === null ? [] : [`adapter=${device}`])
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (!adapter)
    throw none(
      `WebGPU refuses ${device ?? names.join('; ')}: its driver is too old, perhaps (of Mesa 25.0 works, 22.3 does not); write --backend tensorflow`,
    )
  Object.defineProperty(globalThis, 'navigator', { value: { gpu }, configurable: true })
  return adapter
}
