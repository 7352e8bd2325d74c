import { statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { ActionAnswer } from '../../coordinator/http/action-route.ts'
import { openHttpServer } from '../../coordinator/http/server.ts'
import { inheritedMembership } from '../../coordinator/membership/state.ts'
import { openToken } from '../../coordinator/token.ts'
import { unknownTopology } from '../../shared/collective/topology.ts'
import { limits } from '../../shared/core/limits.ts'
import { temporaryFolder } from '../support/folder.ts'
import { Play } from '../support/play.ts'

describe('a pause that somebody asked for', () => {
  it('saves and halts the group at one step boundary; nobody forms another one before the resume', () => {
    const play = new Play(2).running('a', 'b')
    play.take()
    play.on({ kind: 'pauseRequested' })
    expect(play.take()).toMatchObject([
      { kind: 'request', workerIds: ['a', 'b'], message: { kind: 'checkpoint' } },
      { kind: 'pause', workerIds: ['a', 'b'], reason: 'paused on request' },
    ])
    play.halted('a', 5).halted('b', 5)
    expect(play.take()).toMatchObject([{ kind: 'waiting', ready: 2, reason: 'paused on request' }])
    play.ready('c').heartbeat('a').heartbeat('b').on({ kind: 'tick' }).left('c')
    expect(play.take()).toMatchObject([{ kind: 'lost', workerId: 'c', wasMember: false }])
    play.on({ kind: 'resumeRequested' })
    expect(play.formed?.quorum).toMatchObject({ state: { generation: 1, step: 5 }, reason: 'resumed on request' })
    play.joined()
    expect(play.state.phase).toBe('running')
  })

  it('comes at once after a group that is forming, and survives the loss of a member', () => {
    const play = new Play(2).ready('a').ready('b').on({ kind: 'pauseRequested' })
    expect(play.state.phase).toBe('forming')
    play.joined()
    expect(play.state).toMatchObject({ phase: 'halting', aborted: false })
    play.halted('a', 0).left('b')
    expect(play.state).toMatchObject({ phase: 'waiting', held: true })
    expect(play.after(200).on({ kind: 'tick' }).state.phase).toBe('waiting')
    expect(play.on({ kind: 'resumeRequested' }).ranks).toEqual(['a'])
  })

  it('ends with a stop: those that hold the state form once more, to save it', () => {
    const play = new Play(1).running('a').on({ kind: 'pauseRequested' }).halted('a', 4)
    play.on({ kind: 'stopRequested' })
    expect(play.state).toMatchObject({ phase: 'forming', held: false, stopping: true })
    play.joined()
    expect(play.effects.at(-1)).toMatchObject({ kind: 'request', message: { kind: 'stop' } })
    expect(play.on({ kind: 'pauseRequested' }).state.held).toBe(false)
  })

  it('goes on under a coordinator that comes after this one', () => {
    const play = new Play(2)
    const from = { generation: 3, storedStep: 0, started: true, held: true, state: { generation: 3, step: 8 } }
    const group = ['a', 'b'].map((workerId) => ({ workerId, endpoint: '' }))
    play.state = inheritedMembership(play.state.options, { ...from, group, topology: unknownTopology(2) }, 0)
    play.on({ kind: 'returned', workerId: 'a' }).halted('a', 8).on({ kind: 'tick' })
    play.on({ kind: 'returned', workerId: 'b' }).halted('b', 8).on({ kind: 'tick' })
    expect(play.state.phase).toBe('waiting')
    expect(play.formed).toBeUndefined()
    expect(play.on({ kind: 'resumeRequested' }).formed).toMatchObject({ generation: 4, quorum: { state: { step: 8 } } })
  })

  it('a checkpoint is asked of rank 0 alone, and only where a group steps', () => {
    const play = new Play(2).ready('a')
    expect(play.on({ kind: 'checkpointRequested' }).take()).toEqual([])
    play.ready('b').joined().take()
    play.on({ kind: 'checkpointRequested' })
    expect(play.take()).toEqual([{ kind: 'request', workerIds: ['a'], message: { kind: 'checkpoint' } }])
  })
})

describe('the token', () => {
  it('is made once, long, for the owner alone, and taken again', () => {
    const path = join(temporaryFolder(), 'token')
    const token = openToken(path)
    expect(token).toMatch(/^[\w-]{43}$/)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(openToken(path)).toBe(token)
    expect(openToken(join(temporaryFolder(), 'token'))).not.toBe(token)
  })

  it('is refused where it is too short, has a space, or cannot be read', () => {
    const path = join(temporaryFolder(), 'token')
    for (const text of ['', 'short', 'a token with spaces in it', 'x'.repeat(257)]) {
      writeFileSync(path, text)
      expect(() => openToken(path), text).toThrow(/holds no token; write 16 to 256/)
    }
    expect(() => openToken(temporaryFolder())).toThrow(/write another --token-file/)
    expect(() => openToken(join(temporaryFolder(), 'no/such/folder'))).toThrow(/write another --token-file/)
  })
})

describe('POST /api/actions/NAME', () => {
  const open: { close(): Promise<void> }[] = []
  afterEach(async () => {
    for (const server of open.splice(0)) await server.close()
  })
  const token = 'correct-horse-battery'

  async function serve(answer: ActionAnswer = { status: 200, message: 'so be it' }) {
    const asked: unknown[] = []
    const act = (name: string, workerId: string | null) => {
      asked.push([name, workerId])
      return answer
    }
    const runs = [{ name: 'a run', path: temporaryFolder(), status: () => null }]
    const server = await openHttpServer('127.0.0.1', 0, { metrics: null, actions: { token, act }, runs })
    open.push(server)
    const post = async (name: string, authorization: string | null, body = '', method = 'POST') => {
      const headers = authorization === null ? {} : { authorization }
      const init = method === 'GET' ? { method, headers } : { method, headers, body }
      const response = await fetch(`http://${server.address}/api/actions/${name}`, init)
      return [response.status, ((await response.json()) as { message: string }).message] as const
    }
    return { asked, post, address: server.address }
  }

  it('is refused without the token or with another one, before anything is read', async () => {
    const { asked, post } = await serve()
    for (const authorization of [null, '', 'Basic abc', token, 'Bearer'])
      expect((await post('stop', authorization))[0], String(authorization)).toBe(401)
    for (const wrong of ['x', `${token}x`, token.slice(1), token.toUpperCase()])
      expect((await post('stop', `Bearer ${wrong}`))[0], wrong).toBe(403)
    expect((await post('no-such-action', null))[0]).toBe(401)
    expect((await post('stop', `Bearer ${token}`, '', 'GET'))[0]).toBe(405)
    expect(asked).toEqual([])
  })

  it('does what the name says', async () => {
    const { asked, post } = await serve()
    expect(await post('pause', `Bearer ${token}`)).toEqual([200, 'so be it'])
    expect(await post('drain', `bearer ${token}`, '{"workerId":"worker-1"}')).toEqual([200, 'so be it'])
    expect(asked).toEqual([
      ['pause', null],
      ['drain', 'worker-1'],
    ])
    const refused = await serve({ status: 409, message: 'not now' })
    expect(await refused.post('resume', `Bearer ${token}`, '{}')).toEqual([409, 'not now'])
  })

  it('says what to write instead of another name or body, and reads no long ones', async () => {
    const { asked, post, address } = await serve()
    expect(await post('explode', `Bearer ${token}`)).toEqual([404, expect.stringContaining('pause, resume')])
    for (const body of ['no json', '[]', '3', '{"worker":"a"}', '{"workerId":7}', `{"workerId":"${'x'.repeat(65)}"}`])
      expect((await post('drain', `Bearer ${token}`, body))[0], body).toBe(400)
    const status = await new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${token}` }
      const long = request(`http://${address}/api/actions/stop`, { method: 'POST', headers }, (response) =>
        resolve(response.statusCode),
      )
      long.on('error', reject).write('x'.repeat(limits.actionBytes + 1)) // and no end
    })
    expect(status).toBe(413)
    expect(asked).toEqual([])
  })
})
