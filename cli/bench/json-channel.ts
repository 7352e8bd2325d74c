import type { Socket } from 'node:net'

/** A line is a message; the longest has the seconds of 100,000 iterations. */
const mostCharacters = 8 << 20

/** JSON objects, one a line, in both directions of a connection. */
export class JsonChannel<In, Out> {
  readonly #socket: Socket
  readonly closed: Promise<void>

  /** What does not decode ends the connection. */
  constructor(socket: Socket, decode: (value: unknown) => In | null, receive: (message: In) => void) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.setKeepAlive(true, 5000)
    socket.setEncoding('utf8')
    socket.on('error', () => {}) // `close` follows
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    let rest = ''
    socket.on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > mostCharacters) socket.destroy()
      for (const line of lines) {
        const message = decode(parsed(line))
        if (message === null) return void socket.destroy()
        receive(message)
      }
    })
  }

  send(message: Out): void {
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify(message)}\n`)
  }

  /** Once what was sent is out. */
  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return null
  }
}
