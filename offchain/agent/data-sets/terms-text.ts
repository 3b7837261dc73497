/** Terms of data sets as JSON has them: amounts as decimal text. */

import type { AgreedTerms } from "../../core/data-set/offer.ts";
import type { OpenDataSetRequest } from "../../core/wire/data-sets.ts";

/** `terms` and `audit` of a request to open a set. */
export type AgreedTermsText = Pick<OpenDataSetRequest, "terms" | "audit">;

export function termsToText({ terms, audit }: AgreedTerms): AgreedTermsText {
  return {
    terms: {
      ...terms,
      feeFloor: String(terms.feeFloor),
      feePerSlice: String(terms.feePerSlice),
      feePerIndex: String(terms.feePerIndex),
      feeCap: String(terms.feeCap),
    },
    audit: { ...audit, disputeBond: String(audit.disputeBond) },
  };
}

export function termsFromText({ terms, audit }: AgreedTermsText): AgreedTerms {
  return {
    terms: {
      ...terms,
      feeFloor: BigInt(terms.feeFloor),
      feePerSlice: BigInt(terms.feePerSlice),
      feePerIndex: BigInt(terms.feePerIndex),
      feeCap: BigInt(terms.feeCap),
    },
    audit: { ...audit, disputeBond: BigInt(audit.disputeBond) },
  };
}
