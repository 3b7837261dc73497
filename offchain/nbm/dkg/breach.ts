/** A breach of the key generation protocol: no retry repairs it, and the committee has to be formed anew. */

import { DkgFaultError } from "../../core/dkg/dkg.ts";

export class ProtocolBreach extends Error {}

/** Runs a step of the protocol. Its refusals name the member at fault and are final. */
export function breachIfRefused<Result>(step: () => Result): Result {
  try {
    return step();
  } catch (cause) {
    if (!(cause instanceof DkgFaultError)) throw cause;
    throw new ProtocolBreach(cause.message, { cause });
  }
}
