import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { findNative } from '../../worker/backend/native/native-cache.ts'
import { available, Cli, childrenOf, readJson, waitForStep } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const hasNative = available(findNative() !== null, 'native TensorFlow')

// A terminal's Ctrl-C reaches each process of a run, in whatever instruction it is.
it.skipIf(!hasNative)('signals that come in the middle of a product harm no worker and change no bit', async () => {
  const train = async (disturbed: boolean) => {
    const folder = join(temporaryFolder(), 'run')
    const options = ['--model', 'vae', '--steps', '1000', '--workers', '2', '--seed', '5', '--http', '127.0.0.1:0']
    const run = new Cli(['train', ...options, '--sample-every', '100000', '--run-dir', folder])
    if (disturbed) {
      await waitForStep(run, folder, 5)
      const workers = childrenOf(run.child.pid, 'worker-process')
      expect(workers).toHaveLength(2)
      for (let sent = 0; sent < 300 && run.child.exitCode === null; sent++) {
        for (const worker of workers) process.kill(worker, 'SIGINT')
        await sleep(3)
      }
    }
    expect((await run.finished).code).toBe(0)
    return readJson(join(folder, 'summary.json'))
  }
  const [quiet, disturbed] = [await train(false), await train(true)]
  expect(disturbed).toMatchObject({ status: 'completed', weightsSha256: quiet.weightsSha256, incidents: [] })
})

// Ctrl-Z and fg in a terminal, a container that is paused, a machine that is suspended.
it('all processes of a run stand still for a while: nothing is lost', async () => {
  const train = async (stopped: boolean) => {
    const folder = join(temporaryFolder(), 'run')
    const options = ['--model', 'vae', '--steps', '200', '--workers', '2', '--http', '127.0.0.1:0', '--reproducible']
    const run = new Cli(['train', ...options, '--sample-every', '100000', '--run-dir', folder])
    if (stopped) {
      await waitForStep(run, folder, 20)
      const processes = ['worker', 'coordinator'].flatMap((name) => childrenOf(run.child.pid, `${name}-process`))
      for (const id of processes) process.kill(id, 'SIGSTOP')
      await sleep(8000)
      for (const id of processes) process.kill(id, 'SIGCONT')
    }
    expect((await run.finished).code).toBe(0)
    return readJson(join(folder, 'summary.json'))
  }
  const [through, stopped] = [await train(false), await train(true)]
  expect(stopped).toMatchObject({ status: 'completed', weightsSha256: through.weightsSha256, incidents: [] })
})
