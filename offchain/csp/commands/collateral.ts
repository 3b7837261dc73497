/** `tallystick-csp collateral`: shows the pool of collateral, and moves money in and out of it. */

import { NATIVE_TOKEN } from "../../chain/data-set-words.ts";
import { readPool } from "../../chain/escrow.ts";
import { approvalCalls, depositCollateralCall, withdrawCollateralCall } from "../../chain/escrow-calls.ts";
import { formatAmount } from "../../core/encoding/amounts.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { type OperatorTransaction, operatorCommand, readAddress, readAmount } from "../../daemon/operator-command.ts";
import type { CspConfig } from "../config.ts";

export const collateralCommand = operatorCommand<CspConfig>({
  kind: "csp",
  contracts: ["storageEscrow"],
  name: "collateral",
  description:
    "show the pool of collateral, deposit into it, or withdraw what no data set locks; once per epoch, the daemon " +
    "pays out by itself what is neither locked nor the token's `reserve`",
  arguments: [
    ["[action]", "show, deposit or withdraw (default: show)"],
    ["[amount]", "in the token's smallest unit (default for withdraw: all that is not locked)"],
  ],
  options: [
    ["--token <address>", "token (default: the chain's coin)"],
    ["--to <account>", "who receives what is withdrawn (default: payoutAccount, or the operator)"],
  ],
  example: "collateral --config csp.json deposit 1000000000000000000",
  act: async (operator, config, options, [action = "show", amountText]) => {
    const { chain, account } = operator;
    const { deployment } = chain;
    const token = readAddress(options, "token", NATIVE_TOKEN);
    const amount = amountText === undefined ? undefined : readAmount(amountText, "amount");
    const before = await readPool(chain, token, account);
    const free = before.total - before.locked;
    const transactions: OperatorTransaction[] = [];
    let done = "";
    if (action === "deposit") {
      if (amount === undefined) throw noAmount();
      for (const approval of await approvalCalls(chain, token, account, amount)) {
        transactions.push(await operator.send(approval));
      }
      transactions.push(await operator.send(depositCollateralCall(deployment, token, account, amount)));
      done = `deposited ${amount}; `;
    } else if (action === "withdraw") {
      const wanted = amount ?? free;
      if (wanted > free || wanted === 0n) throw lockedUp(account, token, wanted, free);
      const to = readAddress(options, "to", config.payoutAccount ?? account);
      transactions.push(await operator.send(withdrawCollateralCall(deployment, token, to, wanted)));
      done = `withdrew ${wanted} to ${to}; `;
    } else if (action !== "show") throw unknownAction(action);
    const { total, locked } = await readPool(chain, token, account, transactions.at(-1)?.blockNumber);
    return {
      facts: { token, total, locked, withdrawable: total - locked, transactions },
      text: `${done}the pool has ${total}, of which ${locked} is locked`,
    };
  },
});

function unknownAction(received: string): InvalidInputError {
  return new InvalidInputError("collateral has no such action", {
    check: "action",
    expected: "show, deposit or withdraw",
    received,
  });
}

function noAmount(): InvalidInputError {
  return new InvalidInputError("an amount is needed", {
    check: "amount",
    expected: "the token's smallest unit",
    received: "none",
    hint: "collateral --help shows an example",
  });
}

function lockedUp(account: string, token: string, wanted: bigint, free: bigint): TallystickError {
  return new TallystickError(`the pool of ${account} has not so much that is not locked`, {
    code: "FUNDS",
    party: "you",
    check: "collateral that is not locked",
    expected: free === 0n ? "something to withdraw" : `at most ${formatAmount(free, token)}`,
    received: formatAmount(wanted, token),
    hint: "what data sets lock is free once they have ended",
  });
}
