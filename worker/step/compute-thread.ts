import { workerData } from 'node:worker_threads'
import { systemClock } from '../../shared/core/clock.ts'
import { messageOf } from '../../shared/core/errors.ts'
import { makeSchedule, type StepPlan } from '../../shared/core/schedule.ts'
import { openBackend } from '../backend/open-backend.ts'
import { makeModel } from '../model/make-model.ts'
import { type Command, commandBytes, type MateData, signal } from './crew.ts'
import { LaneGradients } from './lane-gradients.ts'
import { ModelState } from './model-state.ts'
import { SharedRows } from './shared-rows.ts'
import { addPieces } from './slices.ts'
import { scratchBytesOf } from './state-room.ts'
import { StepInputs } from './step-inputs.ts'
import { Stopwatch } from './stopwatch.ts'
import { squaresPart, updatePart } from './update-part.ts'

/** So long a thread looks for the next command before it sleeps. */
const spinMs = 0.3

/** One of the threads that compute parts of a worker's batch (crew.ts), told what to do by the main thread. */
const data = workerData as MateData
const { config, memory, number, threads } = data
const signals = new Int32Array(data.signals)
const text = Buffer.from(data.text)
const backend = await openBackend(data.backend, data.operations)
backend.useMath(config.math)
const model = makeModel(config, data.image)
const state = new ModelState(model.spec, scratchBytesOf(model, config.batchSize), data.parts, {
  memory,
  own: data.own,
})
for (const [parameter, room] of data.factors) state.factors.set(parameter, room)
const schedule = makeSchedule(config, data.sampleCount)
const rows = new SharedRows(state, data)
const inputs = new StepInputs(config, state, rows, model.spec)
const bound = backend.bind(state.slots)
const gradients = new LaneGradients(config, state, backend, bound, inputs, data.sampleBytes, model.spec)
const phasesOf = (plan: StepPlan) => model.phases(plan.batches.length, plan)
const names = state.slots.map(({ name }) => name)

async function run(command: Command): Promise<void> {
  switch (command.kind) {
    case 'begin': {
      if (number >= command.pieces) return
      bound.refresh(names)
      const plan = schedule.plan(command.step)
      return gradients.begin(phasesOf(plan), plan, command, number)
    }
    case 'compute': {
      bound.refresh(names)
      const plan = schedule.plan(command.step)
      const phase = phasesOf(plan)[command.phase]
      if (!phase || number >= command.pieces) return
      rows.ids = gradients.samplesOf(phase, plan, command)
      await gradients.compute(
        phase,
        command.phase,
        plan,
        command,
        number,
        new Stopwatch(systemClock, () => {}),
        () => {},
        command.factors ? () => {} : null,
      )
      return
    }
    case 'merge':
      return addPieces(state, command, number, threads)
    case 'squares':
      return squaresPart(state, backend, command, number, threads)
    case 'update':
      return updatePart(state, backend, command, number, threads)
    default:
      command satisfies never
  }
}

function waitForCommand(after: number): number {
  const since = performance.now()
  for (;;) {
    const now = Atomics.load(signals, signal.command)
    if (now !== after) return now
    if (performance.now() - since > spinMs) Atomics.wait(signals, signal.command, after)
  }
}

let done = 1
for (;;) {
  Atomics.store(signals, signal.done + number, done)
  Atomics.notify(signals, signal.done + number)
  done = waitForCommand(done)
  try {
    await run(JSON.parse(text.toString('latin1', 0, signals[signal.length] ?? 0)) as Command)
  } catch (error) {
    signals[signal.length] = text.write(messageOf(error).slice(0, commandBytes / 4), 'utf8')
    Atomics.store(signals, signal.failed, 1)
  }
}
