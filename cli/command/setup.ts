import { exitCode } from '../../shared/core/errors.ts'
import { prepareGpu, prepareNative } from '../native-setup.ts'
import type { Command } from '../parse.ts'

export const setupCommand: Command = {
  name: 'setup',
  summary: 'fetch and build the native TensorFlow library for this host, and verify it',
  example: 'ringleader setup',
  flags: {
    gpu: { type: 'boolean', describe: "the library for NVIDIA's cards, --backend tensorflow-gpu", default: false },
    yes: { type: 'boolean', describe: 'with --gpu: fetch its 2.1 GB without asking', default: false },
    'allow-missing': { type: 'boolean', describe: 'exit with 0 where it cannot be built', default: false },
  },
  async run(parsed) {
    const native = parsed.gpu === true ? await prepareGpu(parsed.yes === true) : await prepareNative(true)
    return native || parsed.allowMissing === true ? exitCode.ok : exitCode.config
  },
}
