import { usage } from '../../shared/core/config.ts'
import { version } from '../../shared/core/version.ts'
import { joinBench } from '../bench/join-bench.ts'
import type { Command } from '../parse.ts'
import { checkedAddress, wholeNumber } from '../values.ts'

export const benchWorkerCommand: Command = {
  name: 'bench worker',
  summary: 'a worker for a `bench allreduce` on another host',
  example: 'ringleader bench worker --coordinator tcp://10.0.0.1:7127 --bind tcp://10.0.0.2:0',
  flags: {
    coordinator: { type: 'string', describe: 'the --bind address of that `bench allreduce`', demandOption: true },
    bind: { type: 'string', describe: "this host's address for the other workers", demandOption: true },
    'connect-timeout': { type: 'number', describe: 'seconds to wait for it', default: 60 },
  },
  run(parsed) {
    const { host, port } = meetingPoint('coordinator', String(parsed.coordinator))
    const dataBind = checkedAddress('bind', String(parsed.bind))
    const timeoutMs = 1000 * wholeNumber('connect-timeout', parsed.connectTimeout, 1, 86_400)
    return joinBench({ host, port, dataBind, version: version(), timeoutMs })
  },
}

/** An address with a port of its own, such as tcp://10.0.0.1:7127. */
export function meetingPoint(flag: string, text: string): { host: string; port: number } {
  const [, host = '', port = ''] = /^tcp:\/\/(.+):(.+)$/.exec(checkedAddress(flag, text)) ?? []
  if (!(Number(port) > 0)) throw usage(`--${flag} ${text}: write a port, such as tcp://10.0.0.1:7127`)
  if (host === '0.0.0.0' || host === '[::]') throw usage(`--${flag} ${text}: write the address of one interface`)
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
}
