import { deviceNames, loadDawn } from '../../worker/backend/webgpu/webgpu-library.ts'
import { available } from './cli.ts'

/** Whether the webgpu backend finds a device: a GPU, or Mesa's software Vulkan. */
export async function hasGpu(): Promise<boolean> {
  const names = await loadDawn().then(deviceNames, () => [])
  return available(names.length > 0, 'Vulkan (mesa-vulkan-drivers of 25.0 or newer)')
}
