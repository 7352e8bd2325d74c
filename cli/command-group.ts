import type { Argv, CommandModule } from 'yargs'
import { usage } from '../shared/core/config.ts'
import { type Command, commandModule, suggestion } from './parse.ts'

/** Commands of two words that share the first one. */
export function commandGroup(
  word: string,
  summary: string,
  members: readonly Command[],
  args: readonly string[],
  done: (code: number) => void,
): CommandModule {
  const names = members.map(({ name }) => name.slice(word.length + 1))
  return {
    command: word,
    describe: summary,
    builder: (yargs: Argv) => {
      for (const member of members) yargs.command(commandModule(member, args, done))
      return yargs
    },
    handler: (parsed) => {
      const second = parsed._[1]
      if (second === undefined) throw usage(`write what to ${word}: ${names.join(', ')}`)
      throw usage(
        `unknown command ${word} ${second}${suggestion(String(second), names, '')}; there are ${names.join(', ')}`,
      )
    },
  }
}
