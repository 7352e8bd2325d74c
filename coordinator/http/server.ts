import { createServer, type Server } from 'node:http'
import { exitCode, messageOf, RingleaderError } from '../../shared/core/errors.ts'
import { type ActionRoute, answerAction } from './action-route.ts'
import { Page, pageHeaders } from './page.ts'
import type { ShownRun } from './run-feed.ts'

export interface HttpRoutes {
  /** Null: the runs are over, and have none. */
  readonly metrics: (() => Promise<string>) | null
  /** Null: there are none. */
  readonly actions: ActionRoute | null
  /** Targets for Prometheus; there are none where the runs are over. */
  readonly discovery?: () => object
  /** The first one's state is /api/status. */
  readonly runs: readonly ShownRun[]
}

/**
 * The page at `/`, `/metrics` and `/sd/prometheus` for Prometheus, `/api/status` for programs, `/api/actions/NAME` to steer,
 * `/healthz`. Ends when the coordinator does.
 */
export async function openHttpServer(
  host: string,
  port: number,
  routes: HttpRoutes,
): Promise<{ address: string; close(): Promise<void> }> {
  const page = new Page(routes.runs, routes.actions !== null)
  const server = createServer((request, response) => {
    const answer = (status: number, type: string, body: string) => {
      response.writeHead(status, { 'content-type': type })
      response.end(body)
    }
    for (const [name, value] of Object.entries(pageHeaders)) response.setHeader(name, value)
    const [path = '/'] = (request.url ?? '/').split('?')
    if (path.startsWith('/api/actions/')) {
      answerAction(routes.actions, path, request, response).catch(() => response.destroy()) // the request broke off
      return
    }
    if (request.method !== 'GET') return answer(405, 'text/plain', 'only GET\n')
    switch (path) {
      case '/metrics':
        if (!routes.metrics) return answer(404, 'text/plain', 'the run is over; a coordinator has /metrics\n')
        routes.metrics().then(
          (text) => answer(200, 'text/plain; version=0.0.4; charset=utf-8', text),
          (error: unknown) => answer(500, 'text/plain', `${messageOf(error)}\n`),
        )
        return
      case '/sd/prometheus':
        return answer(200, 'application/json', JSON.stringify(routes.discovery?.() ?? []))
      case '/api/status':
        return answer(200, 'application/json', JSON.stringify(routes.runs[0]?.status()))
      case '/healthz':
        return answer(200, 'text/plain', 'ok\n')
      default:
        try {
          if (page.answer(path, response)) return
        } catch (error) {
          return answer(500, 'text/plain', `the page is not whole: ${messageOf(error).split('\n')[0]}; run npm ci\n`)
        }
        return answer(404, 'text/plain', 'not found; there are /, /metrics, /sd/prometheus, /api/status and /healthz\n')
    }
  })
  await listen(server, host, port)
  const address = server.address()
  const bound = typeof address === 'object' && address ? address.port : port
  return {
    address: `${host}:${bound}`,
    async close() {
      await page.close()
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
