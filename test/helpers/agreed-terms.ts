/** Terms of a data set as tests and measurements agree on them: parties and prices differ, percentages do not. */
import { auditTermsHash, type DataSetAuditTerms, type DataSetTerms } from "../../offchain/core/data-set/terms.ts";

const USUAL = {
  mode: "every-epoch",
  collateralPercent: 300,
  compensationPercent: 60,
  bountyPercent: 20,
  latePercent: 50,
  breachLimit: 3,
} as const satisfies Partial<DataSetTerms>;

type Named = "user" | "provider" | "token" | "feeFloor" | "feePerSlice" | "feePerIndex" | "feeCap";

/** @param named what has no usual value, and what is not as usual */
export function agreedTerms(
  audit: DataSetAuditTerms,
  named: Pick<DataSetTerms, Named> & Partial<Omit<DataSetTerms, "auditHash">>,
): DataSetTerms {
  return { ...USUAL, ...named, auditHash: auditTermsHash(audit) };
}
