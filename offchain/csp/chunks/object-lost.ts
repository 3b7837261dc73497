/** What a client is told when the provider cannot give back bytes that it has acknowledged. */
import { TallystickError } from "../../core/errors.ts";

/**
 * Missing and damaged bytes get one answer: which of the two it is depends on how the medium failed, and the client can
 * do the same about both.
 */
export class ObjectLostError extends TallystickError {
  constructor(id: string, facts: { hint?: string; cause?: unknown } = {}) {
    super("the provider has lost or damaged this object", {
      code: "OBJECT_LOST",
      party: "provider",
      check: "stored bytes",
      expected: id,
      received: "missing or damaged bytes",
      hint: facts.hint ?? "put the file again from a copy of yours, or fetch it from another provider",
      ...(facts.cause === undefined ? {} : { cause: facts.cause }),
    });
  }
}
