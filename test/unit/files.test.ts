import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PNG } from 'pngjs'
import { describe, expect, it } from 'vitest'
import {
  CheckpointWriter,
  newestCheckpoint,
  readCheckpoint,
  removeOldCheckpoints,
  writeEvaluation,
} from '../../coordinator/checkpoint/checkpoint-store.ts'
import { nothing } from '../../coordinator/goodput/parts.ts'
import { makeFolder, writeFileAtomic } from '../../shared/core/atomic-file.ts'
import { resolveConfig } from '../../shared/core/config.ts'
import { encodeImageGrid } from '../../shared/core/image-grid.ts'
import { decodeNpy, encodeNpy } from '../../shared/core/npy.ts'
import { withProcessLock } from '../../shared/core/process-lock.mjs'
import { decodeSafetensors, encodeSafetensors } from '../../shared/core/safetensors.ts'
import { specOf } from '../../shared/model/description.ts'
import { temporaryFolder } from '../support/folder.ts'

describe('safetensors', () => {
  const tensors = [
    { name: 'a/kernel', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    { name: 'b', shape: [1], data: Float32Array.of(-0.5) },
  ]

  it('are the header length, a JSON header and the packed data', () => {
    const bytes = Buffer.from(encodeSafetensors(tensors, { step: '7' }))
    const headerBytes = Number(bytes.readBigUInt64LE(0))
    expect((8 + headerBytes) % 8).toBe(0)
    expect(JSON.parse(bytes.subarray(8, 8 + headerBytes).toString())).toEqual({
      __metadata__: { step: '7' },
      'a/kernel': { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] },
      b: { dtype: 'F32', shape: [1], data_offsets: [24, 28] },
    })
    expect(bytes.readFloatLE(8 + headerBytes + 24)).toBe(-0.5)
  })

  it('come back as they were', () => {
    const decoded = decodeSafetensors(encodeSafetensors(tensors, { step: '7' }))
    expect(decoded.metadata).toEqual({ step: '7' })
    expect([...decoded.tensors]).toEqual(tensors.map(({ name, shape, data }) => [name, { shape, data }]))
  })

  it.each([
    ['cut off', (bytes: Buffer) => bytes.subarray(0, bytes.length - 1)],
    ['empty', () => Buffer.alloc(3)],
    ['longer than their tensors', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(4)])],
    ['without JSON', (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 8), Buffer.from('#'), bytes.subarray(9)])],
    ['of another type', (bytes: Buffer) => Buffer.from(bytes.toString('latin1').replace('F32', 'F16'), 'latin1')],
    [
      'with offsets that do not fit the shape',
      (bytes: Buffer) => Buffer.from(bytes.toString('latin1').replace('[2,3]', '[2,4]'), 'latin1'),
    ],
  ])('that are %s are refused', (_name, damage) => {
    expect(() => decodeSafetensors(damage(Buffer.from(encodeSafetensors(tensors))))).toThrow(
      /not a whole safetensors file/,
    )
  })
})

describe('pictures and arrays', () => {
  it('a grid holds its images row by row, a dark line between them', () => {
    const images = Float32Array.from({ length: 3 * 4 }, (_, index) => (index < 4 ? 0 : index < 8 ? 1 : 0.5))
    const png = PNG.sync.read(encodeImageGrid(images, { height: 2, width: 2, channels: 1 }, 2))
    expect([png.width, png.height]).toEqual([7, 7])
    const at = (x: number, y: number) => png.data[(y * png.width + x) * 4]
    expect([at(0, 0), at(1, 1), at(3, 1), at(4, 1), at(5, 2), at(1, 4), at(4, 4)]).toEqual([
      0x40, 0, 0x40, 255, 255, 128, 0x40,
    ])
  })

  it('values outside 0…1 are cut off', () => {
    const png = PNG.sync.read(encodeImageGrid(Float32Array.of(-3, 7), { height: 1, width: 1, channels: 1 }))
    expect([png.data[(png.width + 1) * 4], png.data[(png.width + 3) * 4]]).toEqual([0, 255])
  })

  it('an .npy file has an aligned header and the bytes behind it', () => {
    const bytes = Buffer.from(encodeNpy([2, 1], Float32Array.of(0.25, 4)))
    const headerBytes = bytes.readUInt16LE(8)
    expect((10 + headerBytes) % 64).toBe(0)
    expect(bytes.subarray(10, 10 + headerBytes).toString()).toMatch(
      /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(2, 1\), \} *\n$/,
    )
    expect([bytes.readFloatLE(10 + headerBytes), bytes.readFloatLE(14 + headerBytes)]).toEqual([0.25, 4])
    expect(Buffer.from(encodeNpy([3], new Float32Array(3))).toString('latin1')).toContain("'shape': (3,)")
  })

  it('an .npy file is read again, and one of bytes; others are refused with what to write', () => {
    const bytes = encodeNpy([2, 1, 1], Float32Array.of(0.25, 1))
    expect(decodeNpy(bytes, 'x.npy')).toEqual({ shape: [2, 1, 1], values: Float32Array.of(0.25, 1), type: 'float32' })
    const changed = (from: string, to: string) =>
      Buffer.from(Buffer.from(bytes).toString('latin1').replace(from, to), 'latin1')
    const ofBytes = changed('<f4', '|u1').subarray(0, -6)
    expect(decodeNpy(ofBytes, 'x.npy')).toMatchObject({ values: Float32Array.of(0, 0), type: 'uint8' })
    const refused = (file: Uint8Array) => () => decodeNpy(file, 'x.npy')
    expect(refused(Buffer.from('PK and more of that'))).toThrow(/x.npy is no NumPy array; write one with numpy.save/)
    expect(refused(changed('<f4', '<f8'))).toThrow(/x.npy has <f8; write float32 or uint8 in C order/)
    expect(refused(changed('False', 'True '))).toThrow(/in C order/)
    expect(refused(bytes.subarray(0, -1))).toThrow(/x.npy has 7 bytes for an array of \[2, 1, 1\]; it was cut off/)
  })
})

describe('checkpoints', () => {
  const config = resolveConfig({})
  const about = (step: number) => ({
    ...{
      formatVersion: 1 as const,
      runId: 'r',
      image: { height: 1, width: 1, channels: 1 },
      config,
      step,
      epoch: 0,
      seed: 1,
    },
    ...{
      model: specOf(config.description, config, { height: 1, width: 1, channels: 1 }),
      ledger: { finishedEpochs: [] },
    },
    ...{
      elapsed: { wallSeconds: 1, steppingSeconds: 1, images: 1, goodput: nothing },
      optimizerSteps: { encoder: step },
      weightsSha256: 'a'.repeat(64),
      score: null,
    },
  })
  const write = (folder: string, step: number, finish = true, score: number | null = null) => {
    const writer = new CheckpointWriter(folder, step, [
      { name: 'weights.safetensors', bytes: 3 },
      { name: 'optimizer.safetensors', bytes: 2 },
    ])
    writer.write('weights.safetensors', 0, Uint8Array.of(1, 2))
    writer.write('weights.safetensors', 2, Uint8Array.of(3))
    writer.write('optimizer.safetensors', 0, Uint8Array.of(step, 5))
    if (finish) writer.finish({ ...about(step), score })
    return writer
  }

  it('are read as they were written', () => {
    const folder = temporaryFolder()
    write(folder, 9)
    expect(readdirSync(folder)).toEqual(['step-00000009'])
    const stored = readCheckpoint(join(folder, 'step-00000009'))
    expect([...stored.weights, ...stored.optimizer]).toEqual([1, 2, 3, 9, 5])
    expect(stored.manifest).toMatchObject({ step: 9, optimizerSteps: { encoder: 9 } })
  })

  it('are not there before they are whole, and leave nothing when they are given up', () => {
    const folder = temporaryFolder()
    const writer = write(folder, 9, false)
    expect(newestCheckpoint(folder, () => {})).toBeNull()
    writer.abandon()
    expect(readdirSync(folder)).toEqual([])
  })

  it('refuse pieces out of order, too long, and an early end', () => {
    const writer = new CheckpointWriter(temporaryFolder(), 1, [{ name: 'weights.safetensors', bytes: 3 }])
    expect(() => writer.write('weights.safetensors', 1, Uint8Array.of(1))).toThrow('out of order')
    expect(() => writer.write('weights.safetensors', 0, new Uint8Array(4))).toThrow('out of order')
    expect(() => writer.write('optimizer.safetensors', 0, new Uint8Array(1))).toThrow('out of order')
    expect(() => writer.finish(about(1))).toThrow('0 of 3 bytes')
    writer.abandon()
  })

  it('that are damaged are told and passed over for the one before', () => {
    const folder = temporaryFolder()
    for (const step of [1, 2, 3]) write(folder, step)
    writeFileSync(join(folder, 'step-00000003/weights.safetensors'), 'xyz')
    writeFileSync(join(folder, 'step-00000002/manifest.json'), '{"step":"2"}')
    const warnings: string[] = []
    expect(newestCheckpoint(folder, (line) => warnings.push(line))?.manifest.step).toBe(1)
    expect(warnings).toEqual([
      expect.stringMatching(/step-00000003 is skipped: .*weights.safetensors: its SHA-256/),
      expect.stringMatching(
        /^[^\n]*step-00000002 is skipped: .*manifest.json: .*; Invalid input: expected number.* → at step;/,
      ),
    ])
  })

  it('that are old are removed', () => {
    const folder = temporaryFolder()
    for (const step of [1, 2, 3, 4, 5]) write(folder, step)
    removeOldCheckpoints(folder, 3)
    expect(readdirSync(folder)).toEqual(['step-00000003', 'step-00000004', 'step-00000005'])
  })

  it('without a loss that tells quality are as good as their FID, where they were evaluated', () => {
    const folder = temporaryFolder()
    for (const [step, fid] of [9, 3, 5, null, 7].entries()) {
      write(folder, step)
      const path = join(folder, `step-${String(step).padStart(8, '0')}`)
      if (fid !== null) writeEvaluation(path, { samples: { fid } })
    }
    writeEvaluation(join(folder, 'step-00000099'), { samples: { fid: 1 } }) // gone meanwhile
    writeFileSync(join(folder, 'step-00000002/evaluation.json'), '{"samples":{"fid":')
    removeOldCheckpoints(folder, 1)
    expect(readdirSync(folder).sort()).toEqual(['step-00000001', 'step-00000004'])
  })

  it('that are old are removed, but for the one with the lowest loss, if it can be read', () => {
    const folder = temporaryFolder()
    for (const [index, loss] of [90, 70, 80, 75, 60, 100].entries()) write(folder, index + 1, true, loss)
    writeFileSync(join(folder, 'step-00000005/manifest.json'), '{"step":')
    removeOldCheckpoints(folder, 1)
    expect(readdirSync(folder)).toEqual(['step-00000002', 'step-00000006'])
  })
})

describe('files and locks', () => {
  it('an atomic write leaves the new file or the old one, and nothing else', () => {
    const folder = temporaryFolder()
    writeFileAtomic(join(folder, 'a'), 'one')
    writeFileAtomic(join(folder, 'a'), 'two')
    expect(readFileSync(join(folder, 'a'), 'utf8')).toBe('two')
    mkdirSync(join(folder, 'b'))
    expect(() => writeFileAtomic(join(folder, 'b'), 'x')).toThrow()
    expect(readdirSync(folder)).toEqual(['a', 'b'])
  })

  it('folders are made with their parents, and an impossible one is an error', () => {
    const folder = join(temporaryFolder(), 'a/b/c')
    makeFolder(folder)
    makeFolder(folder)
    expect(existsSync(folder)).toBe(true)
    expect(() => makeFolder('/dev/null/x')).toThrow(/ENOTDIR/)
  })

  it('a lock lets one in at a time', async () => {
    const path = join(temporaryFolder(), 'lock')
    let inside = 0
    let most = 0
    const work = async () => {
      most = Math.max(most, ++inside)
      await new Promise(setImmediate)
      inside--
    }
    await Promise.all([1, 2, 3].map(() => withProcessLock(path, work)))
    expect(most).toBe(1)
    expect(existsSync(path)).toBe(false)
  })

  it("a dead owner's lock is taken over, and a failure lets go", async () => {
    const path = join(temporaryFolder(), 'lock')
    mkdirSync(path)
    writeFileSync(join(path, 'pid'), '4194303') // above the default pid_max: nobody has it
    await expect(withProcessLock(path, () => Promise.reject(new Error('inside')))).rejects.toThrow('inside')
    expect(await withProcessLock(path, () => 5)).toBe(5)
  })
})
