/** The default suite: threshold VOPRF of RFC 9497 §4.1, ristretto255 and SHA-512, on libsodium. */

import { ristretto255Group } from "./group.ts";
import { createVoprfSuite } from "./voprf.ts";

export const ristretto255Suite = createVoprfSuite(ristretto255Group);

/** Its functions by name: nodes, agents and key generation have no other suite. `oprfReady` loads libsodium. */
export const {
  ready: oprfReady,
  blindInputs,
  blindInputsWith,
  evaluateBatch,
  verifyEvaluation,
  composeEvaluation,
  verifyComposed,
  combineAndFinalize,
} = ristretto255Suite;
