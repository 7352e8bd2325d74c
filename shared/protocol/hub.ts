/** Behind the name of a worker, in the name of its connection to the hub. No worker has a slash in its name. */
const suffix = '/hub'

export const hubConnectionOf = (workerId: string): string => `${workerId}${suffix}`

/** The worker whose connection to the hub is called so; null for any other connection. `peer` ends in a part of its own. */
export function workerOfHubPeer(peer: string): string | null {
  const name = peer.slice(0, peer.lastIndexOf('/'))
  return name.endsWith(suffix) ? name.slice(0, -suffix.length) : null
}

/** Whom a frame is for: a rank, or the hub, which is the one behind the last. */
export function encodeTarget(rank: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(2)
  bytes.writeUInt16LE(rank)
  return bytes
}

export function decodeTarget(data: Uint8Array | undefined): number | null {
  return data?.byteLength === 2 ? (data[0] ?? 0) + 256 * (data[1] ?? 0) : null
}
