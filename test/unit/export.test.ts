import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { csvLine, exportCommand, flat } from '../../cli/command/export.ts'
import { temporaryFolder } from '../support/folder.ts'

describe('ringleader export --csv', () => {
  it('writes a line per step and a column per figure of any of them', async () => {
    const folder = temporaryFolder()
    const out = join(folder, 'metrics.csv')
    const lines = [
      { step: 1, vaeLoss: 2.5, phaseSeconds: { forward: 0.1 } },
      { step: 2, vaeLoss: null, phaseSeconds: { forward: 0.2, backward: 0.3 }, skipped: true },
    ]
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
    writeFileSync(join(folder, 'metrics.jsonl'), `${text}{"step":3,"vaeL`) // cut off by a crash
    expect(await exportCommand.run({ folders: [folder], csv: true, out })).toBe(0)
    expect(readFileSync(out, 'utf8')).toBe(
      [
        'step,vaeLoss,phaseSeconds.forward,phaseSeconds.backward,skipped\r\n',
        '1,2.5,0.1,,\r\n',
        '2,,0.2,0.3,true\r\n',
      ].join(''),
    )
  })

  it('says what to write instead', async () => {
    const folder = temporaryFolder()
    const run = (parsed: object) => exportCommand.run(parsed as Record<string, unknown>)
    await expect(run({ csv: true })).rejects.toThrow(/write the folder of one run/)
    await expect(run({ folders: ['a', 'b'], csv: true })).rejects.toThrow(/write the folder of one run/)
    await expect(run({ folders: [folder] })).rejects.toThrow(/write --csv/)
    await expect(run({ folders: [folder], csv: true })).rejects.toThrow(/there is no metrics.jsonl/)
    writeFileSync(join(folder, 'metrics.jsonl'), '{"step":1}\n')
    await expect(run({ folders: [folder], csv: true, out: join(folder, 'no/such') })).rejects.toThrow(/another --out/)
  })

  it('quotes what has commas, quotes or line breaks', () => {
    expect(csvLine(['a,b', 'say "x"', 'two\nlines', 1, undefined, [1, 2]])).toBe(
      '"a,b","say ""x""","two\nlines",1,,"[1,2]"\r\n',
    )
    expect(flat({ a: 1, b: { c: 2 }, d: [3] })).toEqual({ a: 1, 'b.c': 2, d: [3] })
  })
})
