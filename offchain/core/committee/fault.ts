/** What a party of a run did wrong, as an error that names it. */

import { type ErrorCode, TallystickError } from "../errors.ts";

export interface CommitteeFaultFacts {
  code: ErrorCode;
  check: string;
  cause?: unknown;
  /** Dealers of a handover are numbered by the generation that deals, other members by the one that is made. */
  role?: "member" | "dealer";
  hint?: string;
}

/** A member or dealer broke the protocol; `member` and `party` name it. A retry with it does not help. */
export class CommitteeFaultError extends TallystickError {
  readonly member: number;

  constructor(member: number, problem: string, { role = "member", ...facts }: CommitteeFaultFacts) {
    super(`${role} ${member} ${problem}`, {
      hint: "open another generation without this member",
      ...facts,
      party: `${role} ${member}`,
      details: { member },
    });
    this.member = member;
  }
}
