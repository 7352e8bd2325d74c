import { expect, it } from 'vitest'
import { openControlClient, openControlServer } from '../../shared/transport/control-socket.ts'

it('keeps what comes before anybody listens: a coordinator that takes over is greeted while it starts', async () => {
  const server = await openControlServer('tcp://127.0.0.1:0')
  const client = openControlClient(server.endpoint, 'worker-0')
  try {
    const connected = new Promise<void>((resolve) => client.onConnection((there) => there && resolve()))
    client.send([Uint8Array.of(1)])
    client.send([Uint8Array.of(2)])
    await connected
    const echo = openControlClient(server.endpoint, 'worker-1')
    await new Promise<void>((resolve) => echo.onConnection((there) => there && resolve()))
    await echo.close()
    const messages = await new Promise<number[]>((resolve) => {
      const got: number[] = []
      server.onMessage((peer, [frame]) => {
        expect(peer).toMatch(/^worker-0\//)
        if (got.push(frame?.[0] ?? -1) === 2) resolve(got)
      })
    })
    expect(messages).toEqual([1, 2])
  } finally {
    client.onMessage(() => {})
    await client.close()
    await server.close()
  }
}, 10_000)
