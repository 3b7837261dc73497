/** Grouping stages: many small items become few large ones, so that a request carries as much as its limits allow. */

export interface BatchLimits<Item> {
  readonly maximumItems: number;
  readonly maximumWeight: number;
  readonly weigh: (item: Item) => number;
}

/**
 * Yields groups of consecutive items, as large as the limits allow. An item heavier than `maximumWeight` makes a group
 * of its own. No group is empty.
 */
export async function* batch<Item>(
  source: AsyncIterable<Item>,
  limits: BatchLimits<Item>,
): AsyncGenerator<Item[], void, undefined> {
  let group: Item[] = [];
  let weight = 0;
  for await (const item of source) {
    const added = limits.weigh(item);
    if (group.length > 0 && (group.length >= limits.maximumItems || weight + added > limits.maximumWeight)) {
      const full = group;
      group = [];
      weight = 0;
      yield full;
    }
    group.push(item);
    weight += added;
  }
  if (group.length > 0) yield group;
}

/** The inverse of `batch`: the items of the groups, one after the other. */
export async function* flatten<Item>(source: AsyncIterable<Iterable<Item>>): AsyncGenerator<Item, void, undefined> {
  for await (const group of source) yield* group;
}
