/** Asks a committee for k right answers out of n: members that fail or lie are replaced by others and reported. */

import { TallystickError } from "../../core/errors.ts";
import type { NodeReport } from "./node-reports.ts";

export interface QuorumMember {
  /** Position in the committee, from 1. */
  readonly index: number;
  readonly operator: string;
  readonly url: string;
}

export interface Gathered<Member, Answer> {
  readonly answers: { readonly member: Member; readonly answer: Answer }[];
  readonly failures: { readonly member: Member; readonly error: TallystickError }[];
}

/**
 * Asks members until `needed` have answered rightly or all have been asked. Keeps as many requests in flight as answers
 * are missing: the smallest number that could complete the quorum. A failure starts the next request, and so does a
 * slow member, whose own answer still counts if it comes.
 *
 * @param order members in order of preference.
 * @param ask resolves with a right answer; throws when the member fails, or when its answer does not verify. Its signal
 *   aborts when the answer is no longer needed.
 * @param patienceSeconds after which another member is asked as well; never by default.
 * @returns at most `needed` answers; fewer when too many failed. Those that had not answered by then are among the
 *   failures.
 * @throws what `ask` throws that is no TallystickError: a defect here, not there.
 */
export async function gather<Member extends { readonly url: string }, Answer>(
  order: readonly Member[],
  needed: number,
  ask: (member: Member, signal: AbortSignal) => Promise<Answer>,
  patienceSeconds?: number,
): Promise<Gathered<Member, Answer>> {
  const answers: { member: Member; answer: Answer }[] = [];
  const failures: { member: Member; error: TallystickError }[] = [];
  const waiting = [...order];
  /** Members that are being asked, with what brings in another one. */
  const pending = new Map<Member, ReturnType<typeof setTimeout> | undefined>();
  const end = new AbortController();
  const whole = Promise.withResolvers<void>();

  const next = (): void => {
    const member = waiting.shift();
    if (member === undefined || end.signal.aborted) return;
    let isReplaced = false;
    const replace = () => {
      if (!isReplaced) next();
      isReplaced = true;
    };
    pending.set(member, patienceSeconds === undefined ? undefined : setTimeout(replace, patienceSeconds * 1000));
    const settle = (keep: () => void): void => {
      if (end.signal.aborted) return;
      clearTimeout(pending.get(member));
      pending.delete(member);
      keep();
      if (answers.length >= needed || pending.size === 0) whole.resolve();
    };
    ask(member, end.signal).then(
      (answer) => settle(() => answers.push({ member, answer })),
      (error: unknown) =>
        settle(() => {
          if (!(error instanceof TallystickError)) return whole.reject(error);
          failures.push({ member, error });
          replace();
        }),
    );
  };

  for (let lane = 0; lane < needed; lane += 1) next();
  try {
    if (pending.size > 0) await whole.promise;
  } finally {
    end.abort();
    for (const timer of pending.values()) clearTimeout(timer);
  }
  for (const member of pending.keys()) failures.push({ member, error: tooSlow(member) });
  return { answers: answers.slice(0, needed), failures };
}

function tooSlow({ url }: { readonly url: string }): TallystickError {
  return new TallystickError(`node ${url} had not answered when enough others had`, {
    code: "TIMED_OUT",
    party: `node ${url}`,
    check: "quorum",
    retryable: true,
  });
}

/** One report per member, for errors: all members are listed, whatever they did. */
export function reportNodes<Member extends QuorumMember>(
  members: readonly Member[],
  right: ReadonlySet<number>,
  failures: ReadonlyMap<number, TallystickError>,
): NodeReport[] {
  return members.map(({ index, operator, url }) => {
    const failure = failures.get(index);
    if (right.has(index)) return { index, operator, url, answer: "right" };
    if (failure === undefined) return { index, operator, url, answer: "not asked" };
    return { index, operator, url, answer: failure.code, message: failure.message };
  });
}

/** Nodes that have answered rightly first, those that have failed last, in the given order among equals. */
export function bestFirst<Node extends { readonly url: string }>(
  nodes: readonly Node[],
  reports: readonly NodeReport[],
): Node[] {
  const answers = new Map(reports.map(({ url, answer }) => [url, answer]));
  const ranks = new Map([
    ["right", 0],
    ["not asked", 1],
  ]);
  const rank = ({ url }: Node): number => ranks.get(answers.get(url) ?? "not asked") ?? 2;
  return [...nodes].sort((a, b) => rank(a) - rank(b));
}
