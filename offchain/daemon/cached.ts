/** Answers that anybody may ask for and that cost requests to the chain: asked once per span of time. */

/**
 * @param milliseconds how long a result, also a failure, is given again. It starts with the question, and whoever asks
 *   while it is under way waits for the same answer.
 * @param now milliseconds that never go back.
 */
export function cachedFor<T>(
  milliseconds: number,
  ask: () => Promise<T>,
  now: () => number = () => performance.now(),
): () => Promise<T> {
  let known: { readonly answer: Promise<T>; readonly until: number } | undefined;
  return () => {
    if (known === undefined || known.until <= now()) known = { answer: ask(), until: now() + milliseconds };
    return known.answer;
  };
}
