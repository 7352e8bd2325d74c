import { existsSync, readFileSync } from 'node:fs'
import { extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { usage } from '../shared/core/config.ts'
import { messageOf } from '../shared/core/errors.ts'
import { type ModelDescription, parseDescription } from '../shared/model/description.ts'

type Parsed = Readonly<Record<string, unknown>>

const extensions = ['.js', '.mjs', '.ts', '.mts', '.json']

/** Puts a model's description in the place of the file that `--model` names. Names of models stay. */
export async function withModelFile(parsed: Parsed): Promise<Parsed> {
  const { model } = parsed
  if (typeof model !== 'string' || !isFile(model)) return parsed
  const description = await readModel(model)
  return { ...parsed, model: description.name, description }
}

const isFile = (model: string): boolean => /[\\/]/.test(model) || extensions.includes(extname(model))

async function readModel(path: string): Promise<ModelDescription> {
  const from = `--model ${path}`
  const file = resolve(path)
  if (!existsSync(file)) throw usage(`${from}: there is no such file`)
  if (!extensions.includes(extname(file))) throw usage(`${from}: write a file that ends in ${extensions.join(', ')}`)
  let exported: Record<string, unknown>
  try {
    exported = extname(file) === '.json' ? { model: JSON.parse(readFileSync(file, 'utf8')) } : await load(file)
  } catch (error) {
    throw usage(`${from}: ${messageOf(error).split('\n')[0]}`)
  }
  const value = exported.model ?? exported.default
  if (value === undefined) throw usage(`${from}: it has to export its description as "model"`)
  return parseDescription(JSON.parse(JSON.stringify(value)), from) // it is going to travel as data
}

async function load(file: string): Promise<Record<string, unknown>> {
  const { href } = pathToFileURL(file)
  if (!/\.m?ts$/.test(file)) return import(href)
  try {
    return await import(href) // newer versions of Node read types themselves
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_UNKNOWN_FILE_EXTENSION') throw error
  }
  return import(`data:text/javascript;base64,${Buffer.from(await withoutTypes(file)).toString('base64')}`)
}

async function withoutTypes(file: string): Promise<string> {
  const typescript = await import('typescript').catch(() => null)
  if (typescript === null)
    throw usage('this Node reads no TypeScript, and the package typescript is not installed; write the model as .js')
  const { transpileModule, ModuleKind, ScriptTarget } = typescript.default
  const compilerOptions = { module: ModuleKind.ESNext, target: ScriptTarget.ES2022 }
  return transpileModule(readFileSync(file, 'utf8'), { compilerOptions, fileName: file }).outputText
}
