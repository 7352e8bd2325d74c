import { createHash } from 'node:crypto'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder } from '../../../shared/core/cache-folder.ts'
import type { LibrarySet, Wheel } from './library-set.ts'
import { sha256OfFile } from './native-cache.ts'
import { run, unavailable } from './tools.ts'

/** Independent of the version of Python that pip runs on. */
const pip = [
  ...['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps'],
  ...['--only-binary=:all:', '--implementation', 'cp', '--python-version', '3.11'],
  ...['manylinux_2_17_x86_64', 'manylinux2014_x86_64', 'manylinux1_x86_64'].flatMap((name) => ['--platform', name]),
]

/** Where its wheels wait until the library stands. */
export function downloadFolder(set: LibrarySet): string {
  const hash = createHash('sha256').update(set.wheels.map(({ sha256 }) => sha256).join(' '))
  const name = set.kind === 'gpu' ? `download-${hash.digest('hex').slice(0, 12)}` : 'download'
  return join(cacheFolder(), 'native', name)
}

/** Wheels of a set that an interrupted set-up has left whole, by their SHA-256; what is not whole is deleted. */
export async function presentWheels(set: LibrarySet): Promise<Map<string, string>> {
  const downloads = downloadFolder(set)
  await mkdir(downloads, { recursive: true })
  const present = new Map<string, string>()
  for (const name of await readdir(downloads)) {
    const path = join(downloads, name)
    const sha256 = name.endsWith('.whl') ? await sha256OfFile(path) : ''
    if (set.wheels.some((wheel) => wheel.sha256 === sha256)) present.set(sha256, path)
    else await rm(path, { recursive: true, force: true })
  }
  return present
}

/** Paths of the verified wheels, in the order of the set; `present` are there already. */
export async function fetchWheels(
  python: string,
  set: LibrarySet,
  present: ReadonlyMap<string, string>,
  say: (line: string) => void,
): Promise<string[]> {
  const downloads = downloadFolder(set)
  const paths = new Map(present)
  for (const wheel of set.wheels) {
    if (paths.has(wheel.sha256)) continue
    const [name = ''] = wheel.requirement.split('==')
    const what = wheel === set.wheels[0] ? `TensorFlow ${set.version}` : name
    const count = set.wheels.length > 1 ? `, ${paths.size + 1} of ${set.wheels.length}` : ''
    say(`fetching ${what} with pip (${wheel.megabytes} MB, once per user${count}) ...`)
    paths.set(wheel.sha256, await fetchWheel(python, wheel, downloads, set.kind === 'gpu'))
  }
  return set.wheels.map(({ sha256 }) => paths.get(sha256) ?? '')
}

/** `large`: pip keeps no second copy of it. */
async function fetchWheel(python: string, wheel: Wheel, downloads: string, large: boolean): Promise<string> {
  const before = new Set(await readdir(downloads))
  await run(python, [...pip, ...(large ? ['--no-cache-dir'] : []), '-d', downloads, wheel.requirement])
  for (const name of await readdir(downloads)) {
    const path = join(downloads, name)
    if (before.has(name)) continue
    if ((await sha256OfFile(path)) === wheel.sha256) return path
    await rm(path, { force: true })
  }
  throw unavailable(`what pip fetched for ${wheel.requirement} has not the SHA-256 ${wheel.sha256}`)
}
