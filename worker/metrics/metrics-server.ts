import { createServer } from 'node:http'
import { hostname } from 'node:os'
import { exitCode, messageOf, RingleaderError } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'

/** Where a worker serves /metrics; port 0 is any free one. */
export interface MetricsPlace {
  readonly host: string
  readonly port: number
}

export interface MetricsServer {
  /** HOST:PORT by which others find it. */
  readonly address: string
  close(): void
}

/** Beside the data: on the same host name as tcp://HOST:PORT, at any free port. */
export function besideData(dataBind: string): MetricsPlace {
  return { host: hostOf(dataBind), port: 0 }
}

/** `advertise`: address by which others find this worker, where that is not the one it listens on; its host counts here. */
export async function openMetricsServer(
  { host, port }: MetricsPlace,
  advertise: string | null,
  metrics: () => Promise<string>,
): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    const answer = (status: number, body: string) =>
      response.writeHead(status, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(body)
    if (request.method !== 'GET') return answer(405, 'only GET\n')
    if (request.url !== '/metrics') return answer(404, 'not found; there is /metrics\n')
    return void metrics().then(
      (text) => answer(200, text),
      (error: unknown) => answer(500, `${messageOf(error)}\n`),
    )
  })
  server.maxConnections = limits.scrapers
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(taken(host, port, error)))
    server.listen(port, host.replace(/^\[|\]$/g, ''), resolve)
  })
  const bound = server.address()
  const found = advertise !== null ? hostOf(advertise) : host === '0.0.0.0' || host === '[::]' ? hostname() : host
  return {
    address: `${found}:${typeof bound === 'object' && bound ? bound.port : port}`,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

function hostOf(address: string): string {
  return /^tcp:\/\/(.+):(?:\d+|\*)$/.exec(address)?.[1] ?? '127.0.0.1'
}

function taken(host: string, port: number, cause: Error): RingleaderError {
  const message = `cannot serve /metrics at http://${host}:${port}: ${cause.message}; write another --metrics HOST:PORT`
  return new RingleaderError('bind', message, { cause, exit: exitCode.failed })
}
