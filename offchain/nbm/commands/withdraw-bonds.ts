/** `tallystick-nbm withdraw-bonds`: takes the bonds of those who challenged right answers of the node. */
import { readDisputeTerms, readOwed, withdrawOwedCall } from "../../chain/oprf-disputes.ts";
import { TallystickError } from "../../core/errors.ts";
import { operatorCommand, readAddress } from "../../daemon/operator-command.ts";
import type { NbmConfig } from "../config.ts";

export const withdrawBondsCommand = operatorCommand<NbmConfig>({
  kind: "nbm",
  contracts: ["nodeRegistry", "keyLedger"],
  name: "withdraw-bonds",
  description: "withdraw the bonds of challenges that failed, because the node had answered rightly",
  options: [["--to <account>", "who receives them (default: the operator)"]],
  example: "withdraw-bonds --config nbm.json",
  act: async (operator, _config, options) => {
    const terms = await readDisputeTerms(operator.chain);
    const amountWei = await readOwed(operator.chain, terms, operator.account);
    if (amountWei === 0n) {
      throw new TallystickError("there are no bonds to withdraw", {
        code: "NOT_FOUND",
        party: "you",
        check: "bonds of failed challenges",
        expected: "more than 0 wei",
        received: "0 wei",
      });
    }
    const to = readAddress(options, "to", operator.account);
    const sent = await operator.send(withdrawOwedCall(terms, to));
    return { facts: { amountWei, to, ...sent }, text: `withdrew bonds of ${amountWei} wei to ${to}` };
  },
});
