/**
 * What follows from a possession proof and from opened commitments together: who of the two is at fault. The proof
 * shows that the provider holds what the tags are of; the commitments, which both parties signed, show what the data
 * is.
 */

/** Draws unless told: each costs up to a slice of commitments and the chunks that it is cut from. */
export const DEFAULT_VERDICT_DRAWS = 8;

/** Whether each of the checks passed. */
export interface Evidence {
  /** VerifyProof, public. */
  readonly isProofValid: boolean;
  /** VerifyCOM of every slice that the challenge draws, with the revealed chunks. */
  readonly isDataCommitted: boolean;
  /**
   * Whether the answer was computed from the revealed slices: its y is their weighted sum at the point of the
   * challenge. It tells apart who is at fault when the data is there and the proof does not verify.
   */
  readonly isAnswerOfData: boolean;
}

/**
 * `intact`: the data is there, and a user that says otherwise is wrong. `damaged`: the provider cannot show the data.
 * `unproven`: the provider shows the data, and answers with something else or not at all. `bad-tags`: the data is there
 * as it was agreed on and the provider answers from it, so the tags, which the user made, are not of it.
 */
export type Verdict = "intact" | "damaged" | "unproven" | "bad-tags";

export type Fault = "nobody" | "provider" | "user";

/**
 * (1,1) intact; (0,0) and (1,0) damaged; (0,1) the user's tags are bad, unless the answer is not of the data. A valid
 * proof that is not of the data says the same of the tags: it is of what they were made of.
 */
export function verdictOf({ isProofValid, isDataCommitted, isAnswerOfData }: Evidence): Verdict {
  if (!isDataCommitted) return "damaged";
  if (isProofValid) return isAnswerOfData ? "intact" : "bad-tags";
  return isAnswerOfData ? "bad-tags" : "unproven";
}

/**
 * Who is at fault.
 * @param isDenied the user says that the provider did not prove
 */
export function faultOf(verdict: Verdict, isDenied: boolean): Fault {
  if (verdict === "damaged" || verdict === "unproven") return "provider";
  if (verdict === "bad-tags" || isDenied) return "user";
  return "nobody";
}
