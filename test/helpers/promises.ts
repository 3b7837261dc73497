/**
 * What a test does with promises and streams.
 */

/** The error of a promise that has to fail. */
export async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

/** Everything a stream yields. */
export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

/** Waits for something that happens elsewhere. @throws Error when it has not happened in time. */
export async function until(condition: () => Promise<boolean> | boolean, timeoutSeconds = 10): Promise<void> {
  for (const end = Date.now() + timeoutSeconds * 1000; !(await condition()); ) {
    if (Date.now() > end) throw new Error("the condition was not met in time");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
