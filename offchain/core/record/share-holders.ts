/**
 * Who holds the shares of a record while the members of its committee change. Share j is sealed to member j of the
 * generation in which the record is made. When its holder leaves the committee, a new member takes its place: the one
 * at the index of the share if it is new, otherwise the first new one without a share, shares and members in ascending
 * order. So everybody who reads the registry names the same holders.
 *
 * An operator never gets a second share of a record: one that comes back after it left holds what it held before, if
 * nobody else does, or nothing. Together with others it therefore learns what it and they could learn before.
 */

/** Members of a generation that is or was active. */
export interface MemberGeneration {
  /** Unix seconds. */
  readonly activatedAt: number;
  /** Operators in index order. */
  readonly members: readonly string[];
}

/** One share of a record, and who has held it. */
export interface ShareLine {
  /** From 1. */
  readonly index: number;
  /** Operators in the order in which they came to hold the share; empty when it was never anybody's. */
  readonly holders: readonly string[];
  /** The last of them while it is a member; nobody holds the share otherwise. */
  readonly holder: string | undefined;
}

/**
 * Most steps from one generation to the next that `predecessorsOf` takes, of up to 32 members each: what a record of
 * each of the last 362 changes of members takes.
 */
const MOST_STEPS = 2 ** 16;

/**
 * Who may have held, before an operator, a share that it holds now, of a record of whichever generation that has the
 * usual policy: as many shares as its committee had members. Of a committee whose members have changed very often,
 * which anybody can make, the records of the last changes count.
 *
 * @param generations as for `shareLines`
 */
export function predecessorsOf(generations: readonly MemberGeneration[], operator: string): ReadonlySet<string> {
  const found = new Set<string>();
  // A generation with the same members in the same order, as a refresh makes it, changes nothing.
  const changes = generations.filter(({ members }, at) => String(members) !== String(generations[at - 1]?.members));
  let steps = 0;
  for (let at = changes.length - 1; at >= 0; at -= 1) {
    steps += changes.length - at;
    if (steps > MOST_STEPS) break;
    const since = changes.slice(at);
    const { activatedAt, members } = changes[at] as MemberGeneration;
    for (const { holder, holders } of shareLines(since, BigInt(activatedAt), members.length)) {
      if (holder !== operator) continue;
      for (const before of holders) if (before !== operator) found.add(before);
    }
  }
  return found;
}

/**
 * Follows the shares of a record from the generation that was active at its key time to the last one.
 *
 * @param generations those that are or were active, in the order of their numbers
 * @param keyTime unix seconds
 * @param shares how many shares the record has
 */
export function shareLines(
  generations: readonly MemberGeneration[],
  keyTime: bigint,
  shares: number,
): readonly ShareLine[] {
  const first = generations.findLastIndex(({ activatedAt }) => BigInt(activatedAt) <= keyTime);
  const lines: string[][] = Array.from({ length: shares }, () => []);
  const shareOf = new Map<string, number>();
  let members: ReadonlySet<string> = new Set();
  const give = (position: number, operator: string) => {
    lines[position]?.push(operator);
    shareOf.set(operator, position);
  };
  for (const [at, generation] of generations.slice(Math.max(0, first)).entries()) {
    members = new Set(generation.members);
    const isVacant = (position: number) => position < shares && !members.has(lines[position]?.at(-1) ?? "");
    if (at === 0) {
      for (const [position, operator] of generation.members.slice(0, shares).entries()) give(position, operator);
      continue;
    }
    for (const operator of members) {
      const before = shareOf.get(operator);
      if (before !== undefined && isVacant(before)) give(before, operator);
    }
    for (const [position, operator] of generation.members.entries()) {
      if (!shareOf.has(operator) && isVacant(position)) give(position, operator);
    }
    const vacant = lines.map((_, position) => position).filter(isVacant);
    for (const operator of generation.members.filter((member) => !shareOf.has(member))) {
      const position = vacant.shift();
      if (position !== undefined) give(position, operator);
    }
  }
  return lines.map((holders, position) => {
    const last = holders.at(-1);
    return { index: position + 1, holders, holder: last !== undefined && members.has(last) ? last : undefined };
  });
}
