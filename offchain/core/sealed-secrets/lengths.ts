/** Lengths of sealed secrets, for those who handle them without the group. */

const ELEMENT_BYTES = 32;
const TAG_BYTES = 16;
/** c ‖ s. */
const PROOF_BYTES = 64;

/** Longest payload. Sealed secrets hold keys; data is encrypted under them. */
export const MAX_SECRET_BYTES = 1024;
/** By how much a sealed secret is longer than its payload: version, R, R̄, tag and proof. */
export const SEALED_SECRET_OVERHEAD_BYTES = 1 + 2 * ELEMENT_BYTES + TAG_BYTES + PROOF_BYTES;
