import type { PreparedRun } from './prepare-run.ts'
import type { Summary } from './summary.ts'

/** The backends of a run's workers. */
export class Backends {
  readonly #run: Pick<PreparedRun, 'config' | 'folder'>
  readonly #seen = new Set<string>()

  constructor(run: Pick<PreparedRun, 'config' | 'folder'>) {
    this.#run = run
  }

  /** The first worker decides on the backend of a reproducible run. That others have another one is said once. */
  bind(backend: string): void {
    const { config, folder } = this.#run
    const before = this.#seen.size
    this.#seen.add(backend)
    if (before === 1 && this.#seen.size === 2) {
      const reason =
        'backends round differently; the replicas of this run are equal, another run like it will differ a little'
      folder.event('backends', { backends: [...this.#seen], reason })
    }
    if (!config.reproducible || config.backend !== null) return
    config.backend = backend
    folder.configure(config)
  }

  get told(): Pick<Summary, 'backend' | 'backends'> {
    const backends = [...this.#seen]
    return { backend: backends[0] ?? '', backends }
  }
}
