/** The error of a proof that cannot be made of what is stored. */
import { TallystickError } from "../../core/errors.ts";

/** Most chunk ids named in a message; thousands may be damaged. */
const NAMED_CHUNKS = 8;

/** No valid proof is possible, because stored bytes are missing or damaged. */
export class DataDamagedError extends TallystickError {
  constructor(damagedChunks: readonly string[], cause: unknown) {
    const named = damagedChunks.slice(0, NAMED_CHUNKS).join(", ");
    super(damagedChunks.length === 0 ? "tags or powers are damaged" : `${damagedChunks.length} chunks are damaged`, {
      code: "OBJECT_LOST",
      party: "provider",
      check: "possession proof over the stored bytes",
      received: named === "" ? "tags or powers that do not fit the data" : named,
      hint: "put the data again from a copy of yours, then repeat the audit",
      details: { damagedChunks: damagedChunks.length },
      cause,
    });
  }
}
