/**
 * Which snapshots to keep: the rules of restic's `forget`. Snapshots of one host and one set of paths form a group; the
 * rules hold for each group on its own. A snapshot is kept if any rule keeps it. Those of a device that only writes are
 * in groups of their own, since whoever has stolen it names any host.
 *
 * - last, hourly … yearly: the newest snapshot of each of the last n hours, days … that have one. The oldest snapshot
 *   of a group counts as one more, while a rule has some left, so that the history reaches as far back as it may.
 * - within: snapshots younger than a span, counted from the newest of the group that is not in the future.
 * - tags: snapshots that have all tags of one of the lists.
 *
 * A snapshot of the future is kept and uses up no rule: a clock that was wrong once must not cost the newest snapshot.
 * A group of which nothing would be left is refused: that is a mistyped tag more often than a wish. One of a device is
 * kept then, so that nobody with a stolen one keeps the rules from the others.
 *
 * Hours, days, weeks (ISO 8601) are those of this machine's time zone.
 */

import { InvalidInputError } from "../../core/errors.ts";
import type { Snapshot } from "../../core/snapshot/snapshot.ts";

/** A number of snapshots, or all of them. */
export type KeepCount = number | "all";

export interface RetentionPolicy {
  readonly last?: KeepCount;
  readonly hourly?: KeepCount;
  readonly daily?: KeepCount;
  readonly weekly?: KeepCount;
  readonly monthly?: KeepCount;
  readonly yearly?: KeepCount;
  readonly within?: KeepSpan;
  /** Lists of tags. */
  readonly tags?: readonly (readonly string[])[];
}

/** A span of the calendar. */
export interface KeepSpan {
  readonly years: number;
  readonly months: number;
  readonly days: number;
  readonly hours: number;
}

export interface KeptSnapshot<Kept extends Snapshot = Snapshot> {
  readonly snapshot: Kept;
  /** Rules that keep it, for example `daily` or `tags home`. */
  readonly reasons: readonly string[];
}

export interface RetentionGroup<Kept extends Snapshot = Snapshot> {
  readonly host: string;
  /** Of a device that only writes. */
  readonly device?: string;
  readonly paths: readonly string[];
  /** Newest first. */
  readonly kept: readonly KeptSnapshot<Kept>[];
  /** Newest first. */
  readonly removed: readonly Kept[];
}

interface Rule {
  readonly name: string;
  readonly bucketOf: (time: Date, position: number) => number;
  left: number;
  last: number | undefined;
}

const BUCKETS = {
  last: (_time: Date, position: number) => position,
  // With the offset, since an hour comes twice when summer time ends.
  hourly: (time: Date) => (dayOf(time) * 100 + time.getHours()) * 10_000 + time.getTimezoneOffset() + 1000,
  daily: dayOf,
  weekly: isoWeekOf,
  monthly: (time: Date) => time.getFullYear() * 100 + time.getMonth(),
  yearly: (time: Date) => time.getFullYear(),
} as const;

/**
 * Decides about every snapshot. Nothing is removed here.
 * @param snapshots in the order in which they were made, where times are equal
 * @param nowMillis snapshots after it are kept
 * @throws InvalidInputError for a policy that keeps nothing, of all snapshots or of a group
 */
export function applyRetention<Kept extends Snapshot>(
  snapshots: readonly Kept[],
  policy: RetentionPolicy,
  nowMillis: number,
): RetentionGroup<Kept>[] {
  requireRule(policy);
  const groups = new Map<string, Kept[]>();
  for (const snapshot of snapshots) {
    const key = JSON.stringify([snapshot.host, [...snapshot.paths].sort(), snapshot.device]);
    groups.set(key, [...(groups.get(key) ?? []), snapshot]);
  }
  const decided = [...groups.values()].map((members) => keptIfOfDevice(applyToGroup(members, policy, nowMillis)));
  const emptied = decided.find(({ kept }) => kept.length === 0);
  if (emptied !== undefined) throw wouldEmpty(emptied);
  return decided;
}

function keptIfOfDevice<Kept extends Snapshot>(group: RetentionGroup<Kept>): RetentionGroup<Kept> {
  if (group.device === undefined || group.kept.length > 0) return group;
  const kept = group.removed.map((snapshot) => ({ snapshot, reasons: ["no rule keeps any of this device"] }));
  return { ...group, kept, removed: [] };
}

function applyToGroup<Kept extends Snapshot>(
  members: readonly Kept[],
  policy: RetentionPolicy,
  nowMillis: number,
): RetentionGroup<Kept> {
  const newestFirst = members.toReversed().sort((one, other) => other.timeMillis - one.timeMillis);
  const rules = (Object.keys(BUCKETS) as (keyof typeof BUCKETS)[]).map((name): Rule => {
    const count = policy[name] ?? 0;
    const left = count === "all" ? Number.POSITIVE_INFINITY : count;
    return { name, bucketOf: BUCKETS[name], left, last: undefined };
  });
  const newest = newestFirst.find(({ timeMillis }) => timeMillis <= nowMillis)?.timeMillis ?? nowMillis;
  const youngerThan = policy.within === undefined ? Number.POSITIVE_INFINITY : before(newest, policy.within);
  const kept: KeptSnapshot<Kept>[] = [];
  const removed: Kept[] = [];
  for (const [position, snapshot] of newestFirst.entries()) {
    if (snapshot.timeMillis > nowMillis) {
      kept.push({ snapshot, reasons: ["in the future"] });
      continue;
    }
    const isOldest = position === newestFirst.length - 1;
    const reasons = [
      ...(policy.tags ?? []).filter((list) => hasAll(snapshot, list)).map((list) => `tags ${list.join(",")}`),
      ...(snapshot.timeMillis > youngerThan ? ["within"] : []),
      ...rules.flatMap((rule) => counts(rule, snapshot, position, isOldest)),
    ];
    if (reasons.length > 0) kept.push({ snapshot, reasons });
    else removed.push(snapshot);
  }
  const [{ host = "", paths = [], device } = {}] = newestFirst;
  return { host, ...(device === undefined ? {} : { device }), paths, kept, removed };
}

/** @returns why a rule keeps the snapshot, which it then counts; nothing if it does not */
function counts(rule: Rule, { timeMillis }: Snapshot, position: number, isOldest: boolean): string[] {
  if (rule.left <= 0) return [];
  const bucket = rule.bucketOf(new Date(timeMillis), position);
  const isRepeated = bucket === rule.last;
  if (isRepeated && !isOldest) return [];
  rule.last = bucket;
  rule.left -= 1;
  return [isRepeated ? `oldest ${rule.name}` : rule.name];
}

function hasAll({ tags }: Snapshot, wanted: readonly string[]): boolean {
  return wanted.every((tag) => tags.includes(tag));
}

/** A rule that keeps something: a policy without one would remove every snapshot there is. */
function requireRule({ tags, within, ...counted }: RetentionPolicy): void {
  const hasCount = Object.values(counted).some((count) => count === "all" || count > 0);
  if (hasCount || within !== undefined || (tags !== undefined && tags.length > 0)) return;
  throw new InvalidInputError("no rule says what to keep", {
    party: "you",
    check: "retention policy",
    expected: "at least one rule, such as --keep-last 3",
    hint: "remove single snapshots with `tallystick rm`",
  });
}

function wouldEmpty({ host, paths, removed }: RetentionGroup): InvalidInputError {
  return new InvalidInputError(
    `the rules keep none of the ${removed.length} snapshots of ${paths.join(", ")} on ${host}`,
    {
      party: "you",
      check: "retention policy",
      expected: "rules that keep at least one snapshot of each host and set of paths",
      hint: "add a rule such as --keep-last 1; remove single snapshots with `tallystick rm`",
    },
  );
}

function dayOf(time: Date): number {
  return (time.getFullYear() * 100 + time.getMonth()) * 100 + time.getDate();
}

/** Year and week of ISO 8601: a week belongs to the year of its Thursday. */
function isoWeekOf(time: Date): number {
  const thursday = new Date(time.getFullYear(), time.getMonth(), time.getDate() + 4 - (time.getDay() || 7));
  const firstDay = new Date(thursday.getFullYear(), 0, 1);
  // Days of the local calendar, which may have 23 or 25 hours.
  const days = Math.round((thursday.getTime() - firstDay.getTime()) / 86_400_000);
  return thursday.getFullYear() * 100 + Math.floor(days / 7) + 1;
}

function before(timeMillis: number, { years, months, days, hours }: KeepSpan): number {
  const time = new Date(timeMillis);
  const day = time.getDate();
  time.setFullYear(time.getFullYear() - years, time.getMonth() - months, 1);
  // A month before 31 March is the last day of February.
  time.setDate(Math.min(day, new Date(time.getFullYear(), time.getMonth() + 1, 0).getDate()) - days);
  return time.getTime() - hours * 3_600_000;
}

/** Parses a span such as `1y6m7d12h`. @throws InvalidInputError */
export function parseSpan(text: string): KeepSpan {
  const match = /^(?:(\d{1,4})y)?(?:(\d{1,5})m)?(?:(\d{1,6})d)?(?:(\d{1,7})h)?$/.exec(text);
  if (match === null || text === "") {
    throw new InvalidInputError("the span is malformed", {
      party: "you",
      check: "span of time",
      expected: "years, months, days, hours in this order, such as 1y6m, 7d or 36h",
      received: JSON.stringify(text.slice(0, 40)),
    });
  }
  const [years = 0, months = 0, days = 0, hours = 0] = match.slice(1).map((digits) => Number(digits ?? 0));
  return { years, months, days, hours };
}
