/** An update is down-sampled by the server; more is no update. */
const maxMessageCharacters = 32 << 20

/**
 * The JSON of each server-sent event of a response (HTML Living Standard, 9.2.6), of which this coordinator's have one `data`
 * line each. Ends with the response. Errors: a message without an end.
 */
export async function* serverSentEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > maxMessageCharacters) throw new Error('a message does not end')
    for (const line of lines) if (line.startsWith('data: ')) yield JSON.parse(line.slice('data: '.length))
  }
}
