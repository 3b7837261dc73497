/** `tallystick-verifier withdraw`: pays out bounties, which the escrow credits to the operator's balance. */

import { NATIVE_TOKEN } from "../../chain/data-set-words.ts";
import { readEscrowClock, readUserAccount } from "../../chain/escrow.ts";
import { withdrawBalanceCall } from "../../chain/escrow-calls.ts";
import { readHeadNumber } from "../../chain/head.ts";
import { accrue, withdrawable } from "../../core/data-set/balance.ts";
import { epochOf } from "../../core/data-set/epochs.ts";
import { formatAmount } from "../../core/encoding/amounts.ts";
import { TallystickError } from "../../core/errors.ts";
import { operatorCommand, readAddress, readAmount } from "../../daemon/operator-command.ts";
import type { VerifierConfig } from "../config.ts";

export const withdrawCommand = operatorCommand<VerifierConfig>({
  kind: "verifier",
  contracts: ["storageEscrow"],
  name: "withdraw",
  description: "pay out the bounties in a token from the operator's balance in the escrow",
  arguments: [["[amount]", "in the token's smallest unit (default: all of it)"]],
  options: [
    ["--token <address>", "token (default: the chain's coin)"],
    ["--to <account>", "who receives it (default: the operator)"],
  ],
  example: "withdraw --config verifier.json --to 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
  act: async (operator, _, options, [amountText]) => {
    const { chain, account } = operator;
    const token = readAddress(options, "token", NATIVE_TOKEN);
    const to = readAddress(options, "to", account);
    const { epochBlocks, noticeEpochs } = await readEscrowClock(chain);
    const head = await readHeadNumber(chain);
    const balance = accrue(await readUserAccount(chain, token, account, head), epochOf(epochBlocks, head + 1));
    const most = withdrawable(balance, noticeEpochs);
    const amount = amountText === undefined ? most : readAmount(amountText, "amount");
    if (amount > most || amount === 0n) throw notThere(account, token, amount, most);
    const sent = await operator.send(withdrawBalanceCall(chain.deployment, token, to, amount));
    return { facts: { token, amount, to, left: most - amount, ...sent }, text: `withdrew ${amount} to ${to}` };
  },
});

function notThere(account: string, token: string, amount: bigint, most: bigint): TallystickError {
  return new TallystickError(`the balance of ${account} in the escrow has not so much to withdraw`, {
    code: "FUNDS",
    party: "you",
    check: "balance in the escrow",
    expected: most === 0n ? "bounties in this token" : `at most ${formatAmount(most, token)}`,
    received: most === 0n ? "none" : formatAmount(amount, token),
  });
}
