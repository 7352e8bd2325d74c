import yargs from 'yargs'
import { usage } from '../shared/core/config.ts'
import { exitCode, RingleaderError } from '../shared/core/errors.ts'
import { version } from '../shared/core/version.ts'
import { commandGroup } from './command-group.ts'
import { commands, groupSummaries } from './commands.ts'
import { commandModule, suggestion } from './parse.ts'
import { report } from './report.ts'

/** Parses the arguments, runs the command, sets the exit code. Every error becomes one line on stderr. */
export async function main(args: readonly string[]): Promise<void> {
  try {
    process.exitCode = await runCommand(args)
  } catch (error) {
    process.exitCode = report(error)
  }
}

async function runCommand(args: readonly string[]): Promise<number> {
  let code: number = exitCode.ok
  const done = (result: number) => {
    code = result
  }
  const parser = yargs([...args])
    .scriptName('ringleader')
    .usage(
      '$0 COMMAND [options]\n\nTrains GANs and VAEs on many worker processes. Options can also stand in RINGLEADER_… variables.',
    )
    .version(version())
    .parserConfiguration({
      'duplicate-arguments-array': true,
      'strip-dashed': true,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .exitProcess(false)
    .fail((message, error) => {
      throw error instanceof RingleaderError ? error : usage(plain(message ?? error?.message ?? 'bad arguments'))
    })
    .wrap(100)
    .help()
  for (const command of commands.filter(({ name }) => !name.includes(' ')))
    parser.command(commandModule(command, args, done))
  for (const [word, summary] of Object.entries(groupSummaries)) {
    const members = commands.filter(({ name }) => name.startsWith(`${word} `))
    parser.command(commandGroup(word, summary, members, args, done))
  }
  const names = commands.map((command) => command.name)
  parser.command('$0', '', {}, (parsed) => {
    const word = parsed._[0]
    if (word !== undefined || args.length > 0)
      throw usage(
        word === undefined
          ? `write a command first: ${names.join(', ')}`
          : `unknown command ${word}${suggestion(String(word), names, '')}; there are ${names.join(', ')}`,
      )
    parser.showHelp('log')
  })
  await parser.parseAsync()
  return code
}

/** yargs's own complaints, in the words of the others. */
function plain(message: string): string {
  return message.replace(/^Not enough arguments following: (\S+).*$/s, '--$1 needs a value').replace(
    /^Missing required arguments?: (.*)$/s,
    (_, names: string) =>
      `write ${names
        .split(', ')
        .map((name) => `--${name}`)
        .join(' and ')} as well`,
  )
}
