/** Asking a committee: k right answers out of n, where those that fail or lie are replaced by others and remembered. */

import { TallystickError } from "../core/errors.ts";

export interface QuorumMember {
  /** Position in the committee, from 1. */
  readonly index: number;
  readonly operator: string;
  readonly url: string;
}

/** What one node answered, in an error's `details.nodes` and in reports. */
export interface NodeReport {
  readonly index: number;
  readonly operator: string;
  readonly url: string;
  /** `right`, `not asked`, or the error code of its failure. */
  readonly answer: string;
  readonly message?: string;
}

export interface Gathered<Member, Answer> {
  readonly answers: { readonly member: Member; readonly answer: Answer }[];
  readonly failures: { readonly member: Member; readonly error: TallystickError }[];
}

/**
 * Asks members until `needed` have answered rightly or all have been asked. So many are asked at a time that they could
 * suffice; each failure brings in the next one.
 *
 * @param order members in order of preference.
 * @param ask resolves with a right answer; throws when the member fails, or when its answer does not verify.
 * @returns at most `needed` answers; fewer when too many failed.
 * @throws what `ask` throws that is no TallystickError: a defect here, not there.
 */
export async function gather<Member extends QuorumMember, Answer>(
  order: readonly Member[],
  needed: number,
  ask: (member: Member) => Promise<Answer>,
): Promise<Gathered<Member, Answer>> {
  const answers: { member: Member; answer: Answer }[] = [];
  const failures: { member: Member; error: TallystickError }[] = [];
  const waiting = [...order];
  const lane = async (): Promise<void> => {
    for (let member = waiting.shift(); member !== undefined; member = waiting.shift()) {
      try {
        answers.push({ member, answer: await ask(member) });
        return;
      } catch (error) {
        if (!(error instanceof TallystickError)) throw error;
        failures.push({ member, error });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(needed, order.length) }, lane));
  return { answers, failures };
}

/** One line per member, for errors: everybody is on the list, whatever they did. */
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

/** The reports as one line of text. */
export function describeNodes(reports: readonly NodeReport[]): string {
  return reports.map((node) => `node ${node.index} (${node.url}): ${node.message ?? node.answer}`).join("; ");
}
