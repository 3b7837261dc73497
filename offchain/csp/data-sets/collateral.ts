/** The provider's pool of collateral: what a state needs more is deposited before it is signed, up to a cap. */

import type { ChainReader } from "../../chain/deployment.ts";
import { readPool } from "../../chain/escrow.ts";
import { approvalCalls, depositCollateralCall } from "../../chain/escrow-calls.ts";
import type { TransactionSender } from "../../chain/sender.ts";
import { TallystickError } from "../../core/errors.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { Locks } from "./locks.ts";
import type { TokenLimits } from "./offer.ts";

/** How long deposits for other sets are waited for. */
const DEPOSIT_SECONDS = 120;

/** The lock of the pool in a token. */
export const collateralLock = (token: string): string => `collateral in ${token.toLowerCase()}`;

export interface CollateralParts {
  readonly chain: ChainReader;
  readonly sender: TransactionSender;
  readonly locks: Locks;
  readonly limitsOf: (token: string) => TokenLimits;
  readonly logger: Logger;
}

export class Collateral {
  readonly #parts: CollateralParts;

  constructor(parts: CollateralParts) {
    this.#parts = parts;
  }

  /**
   * Makes the pool hold so much.
   * @throws TallystickError RATE_LIMITED when that would take deposits above the cap; FUNDS, CHAIN_UNAVAILABLE
   */
  async raiseTo(token: string, amount: bigint): Promise<void> {
    const { chain, sender, locks, limitsOf, logger } = this.#parts;
    await locks.exclusively(collateralLock(token), DEPOSIT_SECONDS, async () => {
      const { total } = await readPool(chain, token, sender.address);
      const missing = amount - total;
      if (missing <= 0n) return;
      const { collateralCap } = limitsOf(token);
      if (total + missing > collateralCap) {
        throw new TallystickError("the provider does not put up more collateral in this token", {
          code: "RATE_LIMITED",
          party: "provider",
          check: "collateral cap",
          expected: `at most ${collateralCap}`,
          received: String(total + missing),
          hint: "use another provider for what is new",
          retryable: false,
        });
      }
      const { deployment } = chain;
      for (const approval of await approvalCalls(chain, token, sender.address, missing)) await sender.send(approval);
      const { hash } = await sender.send(depositCollateralCall(deployment, token, sender.address, missing));
      logger.info({ currency: token, amount: String(missing), transactionHash: hash }, "collateral deposited");
    });
  }
}
