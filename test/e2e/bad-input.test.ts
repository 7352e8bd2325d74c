import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Cli, mnist, ringleader } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'
import { canMakeNamespaces, smallDisk } from '../support/namespaces.ts'

const usage: [string[], RegExp][] = [
  [['train', '--epoch', '3'], /unknown flag --epoch; did you mean --epochs\?/],
  [['train', '--batch-size', '0'], /--batch-size 0: write a number above 0/],
  [['train', '--batch-size', 'many'], /--batch-size: write a number/],
  [['train', '--batch-size', '1.5'], /--batch-size 1.5: write a whole number/],
  [['train', '--batch-size', '1', '--workers', '2'], /--batch-size 1 is below the number of workers; write at least 2/],
  [['train', '--workers', '200'], /--workers 200: write a whole number from 1 to 64/],
  [['train', '--steps', '5', '--epochs', '2'], /--epochs and --steps exclude each other/],
  [['train', '--steps'], /--steps needs a value/],
  [['train', '--seed', '1', '--seed', '2'], /--seed is given twice/],
  [['train', '--seed', '-1'], /--seed -1: write 0 or more/],
  [['train', '--learning-rate', '0'], /--learning-rate 0: write a number above 0/],
  [['train', '--lanes', '7'], /--lanes 7: write a power of two/],
  [
    ['train', '--algorithm', 'hierarchical', '--wire', 'tcp'],
    /--algorithm hierarchical finds hosts by their shared memory; with it write --wire auto/,
  ],
  [
    ['train', '--reproducible', '--algorithm', 'ring'],
    /--algorithm ring .*; with --reproducible write --algorithm auto/,
  ],
  [['train', '--algorithm', 'mesh'], /--algorithm mesh: write one of auto, direct, ring, tree, hierarchical, star/],
  [['train', '--compression', 'zip'], /--compression zip: write one of none, bf16, fp16, int8, topk/],
  [['train', '--wire', 'rdma'], /--wire rdma: write one of auto, shm, tcp/],
  [['train', '--accumulate', '0'], /--accumulate 0: write a number above 0/],
  [['train', '--accumulate', '2.5'], /--accumulate 2.5: write a whole number/],
  [
    ['train', '--accumulate', '16', '--batch-size', '16', '--workers', '2'],
    /--accumulate 16: each of 2 workers has 8 of the 16 images of a batch; write 8 or less/,
  ],
  [
    ['train', '--accumulate', '8', '--lanes', '8', '--workers', '2'],
    /--accumulate 8: each of 2 workers has 4 of 8 lanes; write that or less, or --lanes 16/,
  ],
  [['train', '--trace-steps', '5'], /--trace-steps 5 goes with --trace; write that too/],
  [['train', '--trace', '--trace-steps', '0'], /--trace-steps 0: write a whole number from 1 to 100000/],
  [['train', '--model', 'gna'], /--model gna is unknown; write one of vae, gan/],
  [['train', '--model', './none.js'], /--model .\/none.js: there is no such file/],
  [['train', '--packing', '2'], /--packing means nothing to model vae; leave it out/],
  [
    ['train', '--model', 'gan', '--loss', 'hinge', '--weight-clip', '1'],
    /--weight-clip goes with --loss wgan, not hinge/,
  ],
  [['train', '--model', 'gan', '--learning-rates', 'generator'], /--learning-rates generator: write NETWORK=RATE/],
  [
    ['train', '--model', 'gan', '--learning-rates', 'critic=1'],
    /no such network; write rates for generator, discriminator/,
  ],
  [['train', '--noise', 'pink'], /--noise pink: write one of normal, uniform, truncated, spherical, bernoulli/],
  [['train', '--recipe', 'article'], /--recipe article is unknown for this model; write one of default/],
  [
    ['train', '--backend', 'cuda'],
    /--backend cuda is unknown; write one of auto, tensorflow, tensorflow-gpu, webgpu, wasm/,
  ],
  [['worker', '--device', 'cuda:one'], /--device cuda:one is unknown; write cpu, or cuda:N or webgpu:NAME/],
  [['worker', '--device', 'cuda:1', '--backend', 'wasm'], /two things; write --backend tensorflow-gpu/],
  [['train', '--http', 'here'], /--http here: write HOST:PORT/],
  [['train', '--resume', 'nowhere'], /--resume .*nowhere: there is no config.json/],
  [['train', '--name', 'a/b'], /--name a\/b: write letters/],
  [['train', '--config', 'missing.yaml'], /--config missing.yaml: ENOENT/],
  [['train', 'fast'], /unexpected argument fast/],
  [['coordinator', '--bind', 'tcp://127.0.0.1:http'], /--bind tcp:\/\/127.0.0.1:http: write tcp:\/\/HOST:PORT/],
  [['coordinator', '--min-workers', '3', '--max-workers', '2'], /--min-workers 3 is above --max-workers 2/],
  [['worker', '--coordinator', 'localhost'], /--coordinator localhost: write tcp:\/\/HOST:PORT/],
  [['generate', '--checkpoint', 'x', '--out', 'y.jpg'], /--out y.jpg: write a name that ends in .png or .npy/],
  [
    ['generate', '--checkpoint', 'x', '--out', 'y.png', '--interpolate', '--reconstruct'],
    /--interpolate and --reconstruct exclude each other/,
  ],
  [['generate'], /write --checkpoint and --out as well/],
  [['trian'], /unknown command trian; did you mean train\?/],
]

describe('bad usage', () => {
  it.each(usage)('%j is refused with one line and exit code 2', async (args, line) => {
    const { code, stderr, stdout } = await ringleader(...args)
    expect(stderr).toMatch(line)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(stdout).toBe('')
    expect(code).toBe(2)
  })

  it('in a config file is refused by the name of the file', async () => {
    const file = join(temporaryFolder(), 'run.yaml')
    writeFileSync(file, 'epoch: 3\n')
    expect(await ringleader('train', '--config', file)).toMatchObject({
      code: 2,
      stderr: `ringleader: --config ${file}: unknown option epoch; did you mean epochs?\n`,
    })
  })
})

describe('data', () => {
  const cases: [string, (folder: string) => void, RegExp][] = [
    [
      'a truncated file',
      (folder) => truncateSync(join(folder, 'train-images-idx3-ubyte'), 1_000_000),
      /train-images-idx3-ubyte: 1000000 bytes; its header \[60000,28,28\] needs 47040016/,
    ],
    [
      'swapped files',
      (folder) => cpSync(join(folder, 't10k-labels-idx1-ubyte'), join(folder, 't10k-images-idx3-ubyte')),
      /t10k-images-idx3-ubyte: 1 dimensions \[10000\] where 3 belong: are images and labels swapped\?/,
    ],
    [
      'a file that is none',
      (folder) => writeFileSync(join(folder, 'train-labels-idx1-ubyte'), '<html>'),
      /train-labels-idx1-ubyte: no IDX magic number/,
    ],
  ]

  it.each(cases)('%s is refused by name', async (_name, damage, line) => {
    const folder = temporaryFolder()
    cpSync(mnist, folder, { recursive: true })
    damage(folder)
    const { code, stderr } = await ringleader(
      'train',
      '--steps',
      '1',
      '--data-dir',
      folder,
      '--run-dir',
      join(folder, 'run'),
    )
    expect(stderr).toMatch(line)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(code).toBe(78)
  })
})

describe('places', () => {
  it('a run folder that cannot be made is refused', async () => {
    const { code, stderr } = await ringleader('train', '--run-dir', '/proc/run')
    expect(stderr).toMatch(/cannot write to \/proc\/run: ENOENT.*; write another --run-dir/)
    expect(code).toBe(78)
  })

  it('a folder that holds a run already is refused, and not touched', async () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'config.json'), '{}')
    const { code, stderr } = await ringleader('train', '--run-dir', folder)
    expect(stderr).toContain(`${folder} holds a run already; write --resume ${folder}`)
    expect(code).toBe(2)
    expect(readFileSync(join(folder, 'config.json'), 'utf8')).toBe('{}')
  })

  it('ports that are taken are told', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const http = await ringleader(
      'train',
      '--steps',
      '1',
      '--http',
      `127.0.0.1:${port}`,
      '--run-dir',
      join(temporaryFolder(), 'run'),
    )
    const bind = await ringleader(
      'coordinator',
      '--bind',
      `tcp://127.0.0.1:${port}`,
      '--http',
      '127.0.0.1:0',
      '--run-dir',
      join(temporaryFolder(), 'run'),
    )
    server.close()
    expect(http).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/cannot listen on http:\/\/127.0.0.1:\d+: .*EADDRINUSE.*; write another --http/),
    })
    expect(bind).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /cannot listen on tcp:\/\/127.0.0.1:\d+: Address already in use; write another --bind/,
      ),
    })
  })
})

describe.skipIf(!canMakeNamespaces)('a full disk', () => {
  it('is an alarm; training goes on, and ends well once there is room', async () => {
    const folder = temporaryFolder()
    const disk = smallDisk(folder, 24)
    try {
      const run = join(folder, 'run')
      const filler = join(folder, 'filler')
      writeFileSync(filler, Buffer.alloc(20 << 20))
      const train = new Cli(['train', '--steps', '500', '--run-dir', run])
      await train.printed(/alarm: a checkpoint could not be stored: ENOSPC: no space left on device/)
      await train.printed(/epoch 2\/2 /) // trained to its end without one
      expect(readdirSync(join(run, 'checkpoints'))).toEqual([])
      rmSync(filler)
      expect((await train.finished).code).toBe(0)
      expect(readdirSync(join(run, 'checkpoints'))).toEqual(['step-00000500'])
      expect(JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8'))).toMatchObject({
        status: 'completed',
        steps: 500,
      })
    } finally {
      disk.remove()
    }
  })
})

describe('values from outside', () => {
  it('flags win over RINGLEADER_ variables, and those over the config file', async () => {
    const folder = temporaryFolder()
    const file = join(folder, 'run.yaml')
    writeFileSync(file, 'steps: 2\nseed: 7\nbatchSize: 64\n')
    const train = new Cli(['train', '--config', file, '--workers', '1', '--run-dir', join(folder, 'run')], {
      env: { RINGLEADER_SEED: '8', RINGLEADER_WORKERS: '3' },
    })
    expect((await train.finished).code).toBe(0)
    const config = JSON.parse(readFileSync(join(folder, 'run/config.json'), 'utf8'))
    expect(config).toMatchObject({ steps: 2, seed: 8, batchSize: 64, maxWorkers: 1 })
  })
})
