import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { z } from 'zod'
import { limits } from '../../shared/core/limits.ts'

export const actionNames = ['pause', 'resume', 'checkpoint', 'drain', 'stop'] as const
export type ActionName = (typeof actionNames)[number]

export interface ActionAnswer {
  readonly status: 200 | 400 | 404 | 409
  readonly message: string
}

export interface ActionRoute {
  /** What a request has to bring: `Authorization: Bearer TOKEN`. */
  readonly token: string
  act(name: ActionName, workerId: string | null): ActionAnswer
}

const bodySchema = z.strictObject({ workerId: z.string().min(1).max(64).optional() })

/**
 * POST /api/actions/NAME. A browser sends the header only where a page of this origin sets it, so no other site can act in
 * somebody's name. Nothing of the body is read before the token was seen.
 */
export async function answerAction(
  route: ActionRoute | null,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const answer = (status: number, message: string, headers: Record<string, string> = {}) => {
    if (status !== 200) response.setHeader('connection', 'close') // the rest of the request is not waited for
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(`${JSON.stringify({ message })}\n`)
  }
  if (!route) return answer(404, 'this run takes no actions, or is over')
  if (request.method !== 'POST') return answer(405, 'only POST', { allow: 'POST' })
  const [, given] = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '') ?? []
  if (given === undefined)
    return answer(401, 'write the header Authorization: Bearer TOKEN; the run told where its token is', {
      'www-authenticate': 'Bearer',
    })
  if (!sameToken(given, route.token)) return answer(403, 'this is not the token of this run')
  const name = actionNames.find((known) => path === `/api/actions/${known}`)
  if (!name) return answer(404, `there are ${actionNames.join(', ')}`)
  const text = await body(request)
  if (text === null) return answer(413, `a request has ${limits.actionBytes} bytes at most`)
  const parsed = bodySchema.safeParse(jsonOf(text))
  if (!parsed.success) return answer(400, 'write a JSON object such as {} or {"workerId": "worker-0"}')
  const { status, message } = route.act(name, parsed.data.workerId ?? null)
  return answer(status, message)
}

/** Takes as long for any two tokens, whatever their length and where they differ. */
function sameToken(given: string, wanted: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(wanted))
}

/** Null where it is too long. */
async function body(request: IncomingMessage): Promise<string | null> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of request) {
    bytes += (part as Buffer).byteLength
    if (bytes > limits.actionBytes) return null
    parts.push(part as Buffer)
  }
  return Buffer.concat(parts).toString('utf8')
}

/** An empty body is an empty object. */
function jsonOf(text: string): unknown {
  try {
    return text.trim() === '' ? {} : JSON.parse(text)
  } catch {
    return undefined
  }
}
