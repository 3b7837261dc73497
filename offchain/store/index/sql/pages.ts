/** Walks through large tables. */

export const PAGE_ROWS = 1000;

/**
 * The rows of a table, a page at a time. Each page is a query of its own, instead of one open cursor: rows may be
 * written while a caller walks through them.
 * @param read the rows after one with this key, in the order of their keys, at most `PAGE_ROWS`
 */
export async function* pagesOf<Row, Key>(
  start: Key,
  read: (after: Key) => Promise<readonly Row[]>,
  keyOf: (row: Row) => Key,
): AsyncGenerator<readonly Row[], void, undefined> {
  for (let after = start; ; ) {
    const rows = await read(after);
    const last = rows.at(-1);
    if (last === undefined) return;
    yield rows;
    after = keyOf(last);
  }
}
