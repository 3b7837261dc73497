/** The pieces of a stream, one after the other. By hand: not every browser can iterate over a ReadableStream. */

/** A consumer that stops early cancels the stream. @throws the stream's error */
export async function* streamPieces(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = stream.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    // Of a stream that has ended or failed, nothing is left to cancel.
    await reader.cancel().catch(() => undefined);
    reader.releaseLock();
  }
}
