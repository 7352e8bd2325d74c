import { createServer, type Server } from 'node:http'
import { exitCode, messageOf, RingleaderError } from '../../shared/core/errors.ts'

export interface HttpRoutes {
  metrics(): Promise<string>
  status(): unknown
}

/** `/metrics` for Prometheus, `/api/status` for programs, `/healthz`. Ends when the coordinator does. */
export async function openHttpServer(
  host: string,
  port: number,
  routes: HttpRoutes,
): Promise<{ address: string; close(): void }> {
  const server = createServer((request, response) => {
    const answer = (status: number, type: string, body: string) => {
      response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' })
      response.end(body)
    }
    if (request.method !== 'GET') return answer(405, 'text/plain', 'only GET\n')
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    switch (pathname) {
      case '/metrics':
        routes.metrics().then(
          (text) => answer(200, 'text/plain; version=0.0.4; charset=utf-8', text),
          (error: unknown) => answer(500, 'text/plain', `${messageOf(error)}\n`),
        )
        return
      case '/api/status':
        return answer(200, 'application/json', JSON.stringify(routes.status()))
      case '/healthz':
        return answer(200, 'text/plain', 'ok\n')
      default:
        return answer(404, 'text/plain', 'not found; there are /metrics, /api/status and /healthz\n')
    }
  })
  await listen(server, host, port)
  const address = server.address()
  const bound = typeof address === 'object' && address ? address.port : port
  return {
    address: `${host}:${bound}`,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new RingleaderError(
          'bind',
          `cannot listen on http://${host}:${port}: ${error.message}; write another --http HOST:PORT`,
          { cause: error, exit: exitCode.failed },
        ),
      ),
    )
    server.listen(port, host, resolve)
  })
}
