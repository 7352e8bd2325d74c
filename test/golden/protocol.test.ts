import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { decodeToCoordinator, encodeControl } from '../../shared/protocol/control.ts'
import {
  decodeFrameHeader,
  encodeFrameHeader,
  frameHeaderBytes,
  frameKind,
  runTag,
} from '../../shared/protocol/frame.ts'
import { root } from '../support/cli.ts'

const text = readFileSync(join(root, 'docs/protocol.md'), 'utf8')

function golden(name: string): Buffer {
  const block = new RegExp(`\`\`\`golden ${name}\\n([^\`]*)\`\`\``).exec(text)
  expect(block, name).not.toBeNull()
  return Buffer.from((block?.[1] ?? '').replaceAll(/\s/g, ''), 'hex')
}

describe('the bytes that docs/protocol.md gives', () => {
  const header = {
    kind: frameKind.contribution,
    run: runTag('golden'),
    generation: 3,
    step: 41,
    bucket: 8,
    sender: 1,
    segment: 0,
    part: 0,
    offset: 16,
    count: 2,
  }
  const hello = {
    kind: 'hello' as const,
    protocolVersion: 2,
    workerId: 'w0',
    attempt: 1,
    runId: null,
    member: null,
    absence: null,
    host: 'h',
    processId: 7,
    backend: 'wasm 4.22.0',
    threads: 1,
  }

  it('are a data frame', () => {
    const bytes = golden('data-frame')
    expect(decodeFrameHeader(bytes.subarray(0, frameHeaderBytes))).toEqual(header)
    const payload = new Uint8Array(Float32Array.of(1, -2.5).buffer)
    expect(Buffer.concat([encodeFrameHeader(header), payload]).equals(bytes)).toBe(true)
  })

  it('are a hello', () => {
    expect(decodeToCoordinator(golden('hello'))).toEqual(hello)
    expect(Buffer.from(encodeControl(hello)).equals(golden('hello'))).toBe(true)
  })

  it('every kind of message is named', () => {
    const kinds = [
      ...readFileSync(join(root, 'shared/protocol/control.ts'), 'utf8').matchAll(/kind: z\.literal\('(\w+)'\)/g),
    ].map(([, kind]) => kind)
    expect(kinds.length).toBeGreaterThan(20)
    for (const kind of kinds) expect(text).toContain(`\`${kind}\``)
  })
})
