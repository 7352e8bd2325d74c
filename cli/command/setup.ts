import { exitCode } from '../../shared/core/errors.ts'
import { prepareNative } from '../native-setup.ts'
import type { Command } from '../parse.ts'

export const setupCommand: Command = {
  name: 'setup',
  summary: 'fetch and build the native TensorFlow library for this host, and verify it',
  example: 'ringleader setup',
  flags: {
    'allow-missing': { type: 'boolean', describe: 'exit with 0 where it cannot be built', default: false },
  },
  async run(parsed) {
    const native = await prepareNative(true)
    return native || parsed.allowMissing === true ? exitCode.ok : exitCode.config
  },
}
