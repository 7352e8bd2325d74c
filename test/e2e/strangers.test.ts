import { join } from 'node:path'
import { encode } from 'msgpackr'
import { afterEach, describe, expect, it } from 'vitest'
import { Dealer } from 'zeromq'
import { decodeToWorker, protocolVersion } from '../../shared/protocol/control.ts'
import { Cli, ringleader } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

describe('strangers', () => {
  let sockets: Dealer[] = []
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.close()
  })

  const startCoordinator = async (): Promise<{ coordinator: Cli; address: string }> => {
    const addresses = ['--bind', 'tcp://127.0.0.1:0', '--http', '127.0.0.1:0']
    const coordinator = new Cli(['coordinator', ...addresses, '--run-dir', join(temporaryFolder(), 'run')])
    return { coordinator, address: String((await coordinator.printed(/at (tcp:\S+)/))[1]) }
  }

  const ask = async (address: string, message: object) => {
    const socket = new Dealer({ linger: 0 })
    sockets = [...sockets, socket]
    socket.connect(address)
    await socket.send(encode(message))
    const [answer] = await socket.receive()
    return answer ? decodeToWorker(answer) : null
  }

  it('of another protocol version are refused with both versions, whatever else they say', async () => {
    const { address } = await startCoordinator()
    const answer = await ask(address, { kind: 'hello', protocolVersion: 99, newField: 1 })
    expect(answer).toMatchObject({
      kind: 'refused',
      code: 'protocol-version',
      message: expect.stringContaining(`protocol version 99, this coordinator version ${protocolVersion}`),
    })
  })

  it('of another run are refused', async () => {
    const hello = {
      kind: 'hello',
      protocolVersion,
      workerId: 'w',
      attempt: 1,
      runId: 'other',
      member: null,
      absence: null,
      host: 'h',
      processId: 1,
      backend: 'b',
      threads: 1,
      cores: 1,
      metrics: null,
    }
    const { address } = await startCoordinator()
    expect(await ask(address, hello)).toMatchObject({ kind: 'refused', code: 'wrong-run' })
  })

  it('a worker that is refused says why and exits with 78', async () => {
    const { coordinator, address } = await startCoordinator()
    const first = new Cli(['worker', '--coordinator', address, '--id', 'same', '--backend', 'wasm'])
    await coordinator.printed(/generation 1: 1 worker/)
    const second = await ringleader('worker', '--coordinator', address, '--id', 'same', '--backend', 'wasm')
    first.kill('SIGTERM')
    expect(second).toMatchObject({
      code: 78,
      stderr: expect.stringContaining('a worker same is here already; start this one with another --id'),
    })
  })

  it('a worker without a coordinator tries on, says so, and gives up with 75', async () => {
    const { code, stderr } = await ringleader(
      'worker',
      '--coordinator',
      'tcp://127.0.0.1:1',
      '--connect-timeout',
      '5',
      '--backend',
      'wasm',
    )
    expect(stderr).toMatch(
      /no coordinator at tcp:\/\/127.0.0.1:1 yet, trying on\n.*no coordinator answered at tcp:\/\/127.0.0.1:1 within 5 s; check --coordinator/s,
    )
    expect(code).toBe(75)
  })
})
