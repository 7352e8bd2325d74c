import { exitCode } from '../../shared/core/errors.ts'
import { findDevices } from '../../worker/backend/devices.ts'
import type { Command } from '../parse.ts'

export const devicesCommand: Command = {
  name: 'devices',
  summary: 'what a worker of this host can compute on',
  example: 'ringleader devices --json',
  flags: { json: { type: 'boolean', describe: 'print a JSON object', default: false } },
  async run(parsed) {
    const found = await findDevices()
    const { cores, devices, nvidia, notes } = found
    const lines = [
      ...devices.map(({ device, name, backend, software }) => {
        const about =
          device === 'cpu'
            ? `${name}, ${cores} cores`
            : software
              ? 'in software: right, and slow'
              : device.startsWith('cuda:')
                ? name
                : ''
        return `${device}  ${backend}${about && `  ${about}`}`
      }),
      ...nvidia.map(
        ({ index, name, memoryMiB, driver }) => `NVIDIA ${index}: ${name}, ${memoryMiB} MiB, driver ${driver}`,
      ),
      ...notes,
    ]
    process.stdout.write(parsed.json === true ? `${JSON.stringify(found)}\n` : `${lines.join('\n')}\n`)
    return exitCode.ok
  },
}
