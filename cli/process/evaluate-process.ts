import { setPriority } from 'node:os'
import { exitCode } from '../../shared/core/errors.ts'
import { evaluateFolder, type FolderRequest } from '../evaluate-folder.ts'
import { runChild } from './child.ts'

const lowestPriority = 19

runChild<FolderRequest>(async (request) => {
  setPriority(lowestPriority) // of this process, whose cores the workers want
  const evaluated = await evaluateFolder(request)
  await new Promise<void>((resolve) => {
    if (process.send) process.send(evaluated, () => resolve())
    else resolve()
  })
  return exitCode.ok
})
