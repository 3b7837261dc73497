/** What a failure to record randomness means: which party caused it, and whether the same attempt can ever succeed. */
import { ChainRevertedError } from "../../chain/revert.ts";
import { TallystickError } from "../../core/errors.ts";

/** Label of the metric. */
export type RandomnessFailure = "relays" | "clock" | "header" | "refused" | "funds" | "unavailable" | "defect";

/**
 * Errors of the sources that pass: the endpoint that gave the header is behind, or a block was replaced between its
 * answer and the transaction. All others of a source are about evidence that this provider has checked, so another
 * attempt would be refused as well.
 */
const PASSING_REVERTS: ReadonlySet<string> = new Set(["HeaderMismatch", "BlockNotInPast"]);
/** Without a reason: most likely the gas did not suffice. The next attempt is estimated anew before it costs any. */
const UNEXPLAINED = "Unknown";

/** A round that is only published later, by the clock of this machine. */
type RoundToCome = TallystickError & { readonly check: "time of the round" };

export function isRoundToCome(error: unknown): error is RoundToCome {
  return error instanceof TallystickError && error.code === "NOT_FOUND" && error.check === "time of the round";
}

/** @returns whether it is final: the same attempt would fail again */
export function failureOf(error: unknown): { reason: RandomnessFailure; isFinal: boolean } {
  if (error instanceof ChainRevertedError) {
    const isPassing = PASSING_REVERTS.has(error.revert.name);
    const isFinal = !isPassing && error.revert.name !== UNEXPLAINED;
    return { reason: isPassing ? "header" : "refused", isFinal };
  }
  if (!(error instanceof TallystickError)) return { reason: "defect", isFinal: false };
  if (isRoundToCome(error)) return { reason: "clock", isFinal: false };
  switch (error.code) {
    case "UNREACHABLE":
      return { reason: "relays", isFinal: false };
    case "FUNDS":
      return { reason: "funds", isFinal: false };
    // A fork whose headers this build does not know.
    case "UNKNOWN_VERSION":
      return { reason: "header", isFinal: true };
    // The endpoint answers wrongly, and may be replaced or repaired.
    case "INTEGRITY":
    case "BAD_RESPONSE":
      return { reason: "header", isFinal: false };
    default:
      return { reason: "unavailable", isFinal: false };
  }
}
