/** Joins streams: items of several sources in the order in which they become available, each source in its own order. */
import { Channel } from "./channel.ts";

/**
 * Yields the items of all sources. Every source is always asked for its next item, so a source that waits for another one's
 * progress (they are connected by a channel, say) cannot stop the stream. Each source is at most one item ahead of the
 * consumer. The first failure ends the stream and closes the other sources.
 *
 * @throws whatever a source throws.
 */
export async function* merge<Item>(...sources: AsyncIterable<Item>[]): AsyncGenerator<Item, void, undefined> {
  const joined = new Channel<Item>(0, () => 1);
  const drain = async (source: AsyncIterable<Item>): Promise<void> => {
    for await (const item of source) {
      await joined.push(item);
      if (joined.abandoned) return;
    }
  };
  const drains = sources.map((source) =>
    drain(source).catch((error: unknown) => {
      joined.fail(error);
    }),
  );
  const all = Promise.all(drains).then(() => joined.close());
  try {
    yield* joined;
  } finally {
    await all;
  }
}
