import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readJson, readLines, ringleader, root } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

describe('train --compression', () => {
  /** Part of the bytes that float32 takes, with the tail; steps until the loss is compared. */
  const parts = { bf16: 0.5, fp16: 0.5, int8: 17 / 64, topk: 0.075 }
  const ratio = { topk: ['--compression-ratio', '0.05'] }

  async function train(compression: string, ...more: readonly string[]) {
    const folder = join(temporaryFolder(), compression)
    const flags = ['--compression', compression, ...more, '--steps', '120', '--seed', '3', '--workers', '2']
    const { code, stdout, stderr } = await ringleader('train', ...flags, '--run-dir', folder, '--json')
    expect(code, stderr).toBe(0)
    const lines = readLines(join(folder, 'metrics.jsonl'))
    const last = lines.slice(-20).map(({ vaeLoss }) => Number(vaeLoss))
    return {
      folder,
      summary: JSON.parse(stdout),
      bytes: Number(lines[5]?.allReduceBytes),
      loss: last.reduce((sum, loss) => sum + loss, 0) / last.length,
    }
  }

  it('learns in fewer bytes, over files and over TCP, and all replicas hold the same bits', async () => {
    const plain = await train('none', '--wire', 'tcp')
    for (const [index, name] of (['bf16', 'fp16', 'int8', 'topk'] as const).entries()) {
      const wire = index % 2 === 0 ? 'shm' : 'tcp'
      const run = await train(name, '--wire', wire, ...(name === 'topk' ? ratio.topk : []))
      const { status, compression, incidents, coverage } = run.summary
      expect({ status, compression, incidents }, name).toEqual({
        status: 'completed',
        compression: name,
        incidents: [],
      })
      expect(coverage, name).toEqual(plain.summary.coverage) // checksums in the tail are exact
      const compressionRatio = name === 'topk' ? 0.05 : null
      expect(readJson(join(run.folder, 'config.json'))).toMatchObject({
        ...{ compression: name, compressionRatio },
      })
      expect(run.bytes / plain.bytes / parts[name], name).toBeGreaterThan(0.98)
      expect(run.bytes / plain.bytes / parts[name], name).toBeLessThan(1.05)
      expect(run.loss / plain.loss, name).toBeLessThan(name === 'topk' ? 1.1 : 1.01)
    }
  })

  it('goes on with another compression when it is told to', async () => {
    const { folder } = await train('int8')
    const more = ['--steps', '130', '--compression', 'none', '--json']
    const { code, stdout } = await ringleader('train', '--resume', folder, ...more)
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ status: 'completed', steps: 130, compression: 'none' })
  })
})

describe('the comparison of compressions', () => {
  it('prints a row for each', async () => {
    const flags = ['--steps', '20', '--only', 'none,topk/0.1', '--size', '64K', '--iterations', '3']
    const script = spawn(process.execPath, [join(root, 'test/bench/compression.mjs'), ...flags])
    let text = ''
    script.stdout.on('data', (bytes: Buffer) => {
      text += bytes.toString('utf8')
    })
    const [code] = await once(script, 'close')
    expect(code).toBe(0)
    const rows = text
      .trim()
      .split('\n')
      .map((line) => line.split('|').map((cell) => cell.trim()))
    expect(rows.map(([, name]) => name)).toEqual(['compression', '---', 'none', 'topk/0.1'])
    for (const row of rows.slice(2))
      for (const cell of row.slice(2, -1))
        if (cell !== '–') expect(Number(cell?.replaceAll(',', '')), text).toBeGreaterThan(0)
  })
})
