/** Helpers for promises and streams in tests. */

/** The error of a promise that has to fail. */
export async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

/** A stream of items that are there already. */
export async function* streamed<Item>(items: Iterable<Item>): AsyncGenerator<Item, void, undefined> {
  yield* items;
}

/** Everything a stream yields. */
export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

/**
 * Waits for something that happens elsewhere.
 *
 * @param what is waited for, for the message.
 * @param detail for the message, for example the end of a daemon's log.
 * @throws Error when it has not happened in time.
 */
export async function until(
  what: string,
  holds: () => Promise<boolean> | boolean,
  timeoutSeconds = 60,
  detail: () => string = () => "",
): Promise<void> {
  for (const end = Date.now() + timeoutSeconds * 1000; !(await holds()); ) {
    if (Date.now() > end) throw new Error(`${what}: not after ${timeoutSeconds} s ${detail()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
