/**
 * What is parsed by the first that needs it, and kept. All ABIs together take as long as a fifth of a short command,
 * which needs few of them.
 */
export function parsedOnce<Parsed>(parse: () => Parsed): () => Parsed {
  let parsed: Parsed | undefined;
  return () => {
    parsed ??= parse();
    return parsed;
  };
}
