/**
 * What messages between ranks cost (LogGP: Alexandrov, Ionescu, Schauser & Scheiman 1995). A message of m bytes occupies the
 * sender's processor for `messageMs`, the sender's port for m / bytesPerMs, is on its way for `latencyMs`, occupies the
 * receiver's port for m / bytesPerMs while it comes in, and then the receiver's processor for messageMs + m / sumBytesPerMs.
 * A processor and each direction of a port do one thing after the other. So one message takes
 * α + m β with α = latencyMs + 2 messageMs and β = 1 / bytesPerMs + 1 / sumBytesPerMs.
 */
export interface LinkModel {
  readonly latencyMs: number
  readonly bytesPerMs: number
  /** Processor time of a message, at each of its ends. */
  readonly messageMs: number
  /** Bytes that a rank brings into its memory, and adds, in a millisecond. */
  readonly sumBytesPerMs: number
  /** Ranks that share one port to the network; they follow each other in rank order. */
  readonly ranksPerHost: number
  /** Between ranks of one host: each has a port of its own. */
  readonly local: { readonly latencyMs: number; readonly bytesPerMs: number }
}

/** As a link is described, without hosts of several ranks. */
export function linkModel(link: Pick<LinkModel, 'latencyMs' | 'bytesPerMs'> & Partial<LinkModel>): LinkModel {
  const { latencyMs, bytesPerMs } = link
  return {
    messageMs: 0,
    sumBytesPerMs: Number.POSITIVE_INFINITY,
    ranksPerHost: 1,
    local: { latencyMs, bytesPerMs },
    ...link,
  }
}
