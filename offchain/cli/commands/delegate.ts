/**
 * `tallystick delegate`: keys of devices that act for an account within a scope and until an expiry (session keys).
 */

import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { amountIn, formatAmount, formatEther, type WrittenAmount } from "../../core/encoding/amounts.ts";
import { TallystickError } from "../../core/errors.ts";
import type { Scope } from "../../core/identity/delegation.ts";
import { withAgent } from "../session.ts";
import { address, anyAmount, dataSetId, duration } from "../values.ts";
import { shortId, tellingCosts } from "./data-set-lines.ts";
import { type DataSetWishOptions, dataSetWishOptions, readDataSetWishes } from "./data-set-wishes.ts";
import { budgetText, delegateLines, delegateText } from "./delegate-lines.ts";
import { type GasFeeOptions, gasFeeOption, maximumFee } from "./gas-fee.ts";
import { fundOnDevelopmentChain } from "./init.ts";

const DEFAULT_SECONDS = 90 * 86_400;

const HELP = `
A device with a scope of its own cannot do more than that, whoever holds it: one that writes neither reads nor deletes,
one that reads changes nothing. The identity of the device becomes the delegate, for good.

The device asks, the owner of the account grants. For a device that writes, the owner then prepares a data set, once:
from then on the device adds what it puts to it, and the owner's balance pays. What it has put, its owner restores.

Examples:
  $ tallystick delegate request 0xf39F… --scope write --for 90d > request.json    # on the device
  $ tallystick delegate grant request.json                                        # as the owner
  $ tallystick delegate prepare request.json --expected-size 200GiB
  $ tallystick delegate limit 0x7099… 0x3fd2… 0.00004ETH
  $ tallystick delegate ls
  $ tallystick delegate revoke 0x7099…`;

export function registerDelegate(program: Command): void {
  const delegate = program
    .command("delegate")
    .description("let keys of devices act for the account, to read or to write only, until they expire or are revoked")
    .addHelpText("after", HELP);
  registerRequest(delegate);
  registerGrant(delegate);
  registerPrepare(delegate);
  registerLimit(delegate);
  registerList(delegate);
  registerRevoke(delegate);
}

function registerRequest(delegate: Command): void {
  delegate
    .command("request")
    .description("on the device: print a signed request to act for an account, for its owner to grant")
    .argument("<account>", "the owner's account", address)
    .addOption(
      new Option("--scope <scopes...>", "what the device may do").choices(["read", "write"]).makeOptionMandatory(),
    )
    .option("--for <duration>", "how long (default: 90d; at most 366d)", duration("--for"))
    .addHelpText("after", "\nExample:\n  $ tallystick delegate request 0xf39F… --scope write --for 90d > request.json")
    .action(async (account: string, options: { scope: Scope[]; for?: number }, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const scopes = [...new Set(options.scope)];
        const request = await agent.delegates.request(account, { scopes, seconds: options.for ?? DEFAULT_SECONDS });
        output.result({ request }, [JSON.stringify(request)]);
      });
    });
}

function registerGrant(delegate: Command): void {
  delegate
    .command("grant")
    .description("as the owner: make the device that asked a delegate; look at what it asks for first")
    .argument("<file>", "the request of the device")
    .addOption(gasFeeOption())
    .option("-n, --dry-run", "only show what is asked for")
    .addHelpText("after", "\nExample:\n  $ tallystick delegate grant request.json")
    .action(async (file: string, options: GasFeeOptions & { dryRun?: boolean }, command: Command) => {
      const { parseDelegationRequest } = await import("../../core/wire/delegation.ts");
      const request = parseDelegationRequest(readRequest(file));
      await withAgent(command, async ({ agent, output }) => {
        const asked = { ...request, state: "live" as const };
        if (options.dryRun === true) {
          output.result({ account: agent.account, delegate: asked }, [`asked for: ${delegateText(asked)}`]);
          return;
        }
        output.say(`tallystick: granting ${delegateText(asked)}`);
        const granted = await agent.delegates.grant(request, maximumFee(options));
        output.result({ account: agent.account, delegate: granted }, [
          `granted: ${delegateText(granted)}`,
          `  gas ${granted.gasUsed}, ${formatEther(granted.gasFee)}`,
        ]);
      });
    });
}

interface PrepareCommandOptions extends GasFeeOptions, DataSetWishOptions {
  readonly provider?: string;
  readonly limit?: WrittenAmount;
  readonly token?: string;
  readonly new?: boolean;
}

function registerPrepare(delegate: Command): void {
  const prepare = delegate
    .command("prepare")
    .description("as the owner: make a data set for a device that writes, to which it then adds what it puts")
    .argument("<file>", "the request of the device, which was granted")
    .option("--provider <address>", "account of the provider (default: the one that puts go to)", address)
    .option(
      "--limit <amount>",
      "highest fee per epoch that the device may let it cost, as 0.001ETH, or in the token's smallest unit (default: " +
        "what the expected size costs)",
      anyAmount("--limit"),
    )
    .option("--token <address>", "token that the data set is paid in (default: the chain's coin)", address)
    .option("--new", "begin another one: the home folder of the device was lost");
  dataSetWishOptions(prepare, { expectedSize: "4GiB", mode: "every-epoch" })
    .addOption(gasFeeOption())
    .addHelpText("after", "\nExample:\n  $ tallystick delegate prepare request.json --expected-size 200GiB")
    .action(async (file: string, options: PrepareCommandOptions, command: Command) => {
      const { parseDelegationRequest } = await import("../../core/wire/delegation.ts");
      const request = parseDelegationRequest(readRequest(file));
      await withAgent(command, async (session) => {
        const { agent, output, signal } = session;
        await fundOnDevelopmentChain(session, agent.account);
        const prepared = await agent.delegates.prepare(request, {
          ...readDataSetWishes(options),
          ...maximumFee(options),
          ...(options.token === undefined ? {} : { token: options.token }),
          provider: options.provider,
          feeLimit: options.limit === undefined ? undefined : amountIn(options.limit, options.token, "--limit"),
          isAnother: options.new === true,
          onProgress: tellingCosts(session),
          signal,
        });
        const { key, dataSet, isNew, feePerEpoch, feeLimit, deposited, token } = prepared;
        output.result({ account: agent.account, prepared }, [
          `${key} adds what it puts to data set ${shortId(dataSet)}${isNew ? ", new" : ""}`,
          `  costs     ${formatAmount(feePerEpoch, token)} per epoch, and may grow to ${formatAmount(feeLimit, token)}`,
          `  deposited ${formatAmount(deposited, token)} into your balance`,
        ]);
      });
    });
}

function registerLimit(delegate: Command): void {
  delegate
    .command("limit")
    .description("let a delegate add to a data set, up to a fee per epoch")
    .argument("<key>", "the delegate", address)
    .argument("<set>", "id of the data set, or its beginning", dataSetId)
    .argument(
      "<amount>",
      "highest fee per epoch, as 0.001ETH, or in the token's smallest unit; 0 for none",
      anyAmount("The amount"),
    )
    .addOption(gasFeeOption())
    .addHelpText("after", "\nExample:\n  $ tallystick delegate limit 0x7099… 0x3fd2… 0.00004ETH")
    .action(async (key: string, set: string, written: WrittenAmount, options: GasFeeOptions, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const id = await agent.dataSets.resolve(set);
        // Unknown of a set that a predecessor of this account has opened.
        const token = (await agent.dataSets.list()).find((one) => one.id === id)?.terms.token;
        const limit = amountIn(written, token, "the amount");
        const sent = await agent.delegates.limit(key, id, limit, maximumFee(options));
        const fee = token === undefined ? String(limit) : formatAmount(limit, token);
        output.result({ account: agent.account, key, dataSet: id, feeLimit: limit, ...sent }, [
          limit === 0n
            ? `${key} adds nothing to data set ${id}`
            : `${key} may add to data set ${id}, up to a fee of ${fee} per epoch`,
          `  gas ${sent.gasUsed}, ${formatEther(sent.gasFee)}`,
        ]);
      });
    });
}

function registerList(delegate: Command): void {
  delegate
    .command("ls")
    .description("show the keys that act for this account, and those that did; on a device, for whom it acts")
    .addHelpText("after", "\nExample:\n  $ tallystick delegate ls")
    .action(async (_options: unknown, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const [delegates, own] = await Promise.all([agent.delegates.list(), agent.delegates.own()]);
        if (own !== undefined) {
          output.result({ account: agent.account, actsFor: own, delegates }, [
            `this device acts for account ${own.account}, as ${delegateText(own)}`,
            ...own.budgets.map((budget) => `  ${budgetText(budget)}`),
          ]);
          return;
        }
        output.result({ account: agent.account, actsFor: null, delegates }, [
          ...(delegates.length === 0
            ? ["no key but this one acts for this account"]
            : delegates.flatMap(delegateLines)),
        ]);
      });
    });
}

function registerRevoke(delegate: Command): void {
  delegate
    .command("revoke")
    .description("end what a delegate may do, at once and for good")
    .argument("<key>", "the delegate", address)
    .addOption(gasFeeOption())
    .addHelpText("after", "\nExample:\n  $ tallystick delegate revoke 0x7099…")
    .action(async (key: string, options: GasFeeOptions, command: Command) => {
      await withAgent(command, async ({ agent, output }) => {
        const revoked = await agent.delegates.revoke(key, maximumFee(options));
        output.result({ account: agent.account, delegate: revoked }, [
          `revoked ${key}; gas ${revoked.gasUsed}, ${formatEther(revoked.gasFee)}`,
        ]);
      });
    });
}

function readRequest(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new TallystickError(`the request ${file} cannot be read`, {
      code: "FILE_UNREADABLE",
      party: "you",
      check: "file of the request",
      hint: "copy what `tallystick delegate request` prints on the device into a file",
      cause,
    });
  }
}
