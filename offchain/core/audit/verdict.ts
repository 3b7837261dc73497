/**
 * What follows from a possession proof and from opened commitments together: who of the two is at fault. The proof
 * shows that the provider holds what the tags are of; the commitments, which both parties signed, show what the data
 * is.
 */

/** Whether each of the two checks passed. */
export interface Evidence {
  /** VerifyProof, public. */
  readonly isProofValid: boolean;
  /** VerifyCOM of every slice that the challenge draws, with the revealed chunks. */
  readonly isDataCommitted: boolean;
}

/**
 * `intact`: the data is there, and a user that says otherwise is wrong. `damaged`: the provider cannot show the data.
 * `bad-tags`: the data is there as it was agreed on, so the tags, which the user made, are not of it.
 */
export type Verdict = "intact" | "damaged" | "bad-tags";

export type Fault = "nobody" | "provider" | "user";

/** (1,1) intact; (0,0) and (1,0) damaged; (0,1) the user's tags are bad. */
export function verdictOf({ isProofValid, isDataCommitted }: Evidence): Verdict {
  if (!isDataCommitted) return "damaged";
  return isProofValid ? "intact" : "bad-tags";
}

/**
 * Who is at fault.
 * @param isDenied the user says that the provider did not prove
 */
export function faultOf(verdict: Verdict, isDenied: boolean): Fault {
  if (verdict === "damaged") return "provider";
  if (verdict === "bad-tags" || isDenied) return "user";
  return "nobody";
}
