import { hostname } from 'node:os'

/** The name by which other hosts find this one. */
export function advertised(endpoint: string): string {
  return endpoint.replace('//0.0.0.0:', `//${hostname()}:`)
}
