/**
 * Commands that send transactions of the operator: notice, stake, collateral, bounties. They take nothing but keystore
 * and deployment, not the data folder, so that they can be run beside the daemon, which goes on with its work: of two
 * transactions that take the same nonce, the one that comes second is sent again under the next.
 */
import { computeAddress, parseUnits } from "ethers";
import type { ContractCall } from "../chain/contract-call.ts";
import { type ChainReader, connectChain, parseDeployment } from "../chain/deployment.ts";
import { requireWithinFee } from "../chain/fee-limit.ts";
import { TransactionSender } from "../chain/sender.ts";
import { toHex } from "../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../core/errors.ts";
import { checksumAddress } from "./account-signature.ts";
import { type DaemonConfig, readJsonFile } from "./config.ts";
import { bindKeystore, identifyDeployment } from "./deployment-binding.ts";
import { type DaemonKind, openDaemonKeystore, operatorKey } from "./keystore-file.ts";
import type { ContractName, DaemonCommand } from "./program.ts";

/** A transaction that was mined. */
export interface OperatorTransaction {
  readonly transactionHash: string;
  readonly blockNumber: number;
  readonly gasUsed: bigint;
  /** What its gas cost, in wei. */
  readonly gasFee: bigint;
}

/** The operator's account on its chain. */
export interface Operator {
  readonly chain: ChainReader;
  readonly account: string;
  /**
   * Sends a call unless it would cost more than `--max-gas-fee`, and waits until it is mined.
   * @throws TallystickError FUNDS, CHAIN_REVERTED, TIMED_OUT
   */
  send(call: ContractCall): Promise<OperatorTransaction>;
}

/** What a command has done: for `--json`, where amounts are decimal texts, and in words. */
export interface CommandResult {
  readonly facts: Readonly<Record<string, unknown>>;
  readonly text: string;
}

export type CommandOptions = Readonly<Record<string, unknown>>;

export interface OperatorCommand<Config extends DaemonConfig>
  extends Pick<DaemonCommand<Config>, "name" | "description" | "options" | "arguments" | "example"> {
  readonly kind: DaemonKind;
  /** Those to which the keystore is bound: the daemon's. */
  readonly contracts: readonly ContractName[];
  readonly act: (
    operator: Operator,
    config: Config,
    options: CommandOptions,
    args: readonly string[],
  ) => Promise<CommandResult>;
}

/** A command with the options `--max-gas-fee` and `--json`. */
export function operatorCommand<Config extends DaemonConfig>(command: OperatorCommand<Config>): DaemonCommand<Config> {
  const { kind, contracts, act, options: own, ...described } = command;
  return {
    ...described,
    options: [
      ...own,
      ["--max-gas-fee <wei>", "refuse when the gas would cost more at the fees of now, in wei"],
      ["--json", "print one JSON document"],
    ],
    run: async (config, options, args) => {
      const { maxGasFee } = options;
      const maximumFee = maxGasFee === undefined ? undefined : readAmount(String(maxGasFee), "--max-gas-fee");
      const operator = await openOperator(config, kind, contracts, maximumFee);
      try {
        const { facts, text } = await act(operator, config, options, args);
        const json = JSON.stringify(facts, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
        process.stdout.write(options.json === true ? `${json}\n` : `${text}\n`);
        return 0;
      } finally {
        operator.chain.close();
      }
    },
  };
}

async function openOperator(
  config: DaemonConfig,
  kind: DaemonKind,
  contracts: readonly ContractName[],
  maximumFee: bigint | undefined,
): Promise<Operator> {
  const secret = await openDaemonKeystore(config, kind);
  const key = operatorKey(secret, kind);
  secret.fill(0);
  const account = computeAddress(toHex(key));
  const chain = await connectChain(parseDeployment(readJsonFile(config.deploymentFile, "deployment")));
  try {
    bindKeystore(config.keystoreFile, await identifyDeployment(chain, account, contracts));
  } catch (error) {
    chain.close();
    throw error;
  }
  const cap = config.maximumFeeGwei;
  const limits = cap === undefined ? {} : { maximumFeePerGas: parseUnits(String(cap), "gwei") };
  const sender = new TransactionSender(chain, key, limits);
  return { chain, account, send: (call) => sendChecked(chain, sender, call, maximumFee) };
}

/**
 * The limit is a check before sending. The transaction itself is sent as the daemon sends its own, up to
 * `maximumFeeGwei`: the daemon's transactions wait behind it, and one that must not become dearer could stay unmined
 * for ever once the base fee has risen.
 *
 * @param maximumFee in wei
 */
export async function sendChecked(
  chain: ChainReader,
  sender: TransactionSender,
  call: ContractCall,
  maximumFee: bigint | undefined,
): Promise<OperatorTransaction> {
  if (maximumFee !== undefined) await requireWithinFee(chain, call, sender.address, maximumFee);
  const { hash, blockNumber, gasUsed, fee } = await sender.send(call).catch((error: unknown) => {
    throw error instanceof TallystickError && error.code === "TIMED_OUT" ? stillWaiting(error) : error;
  });
  return { transactionHash: hash, blockNumber, gasUsed, gasFee: fee };
}

function stillWaiting(error: TallystickError): TallystickError {
  const { message, code, party, check, details } = error;
  return new TallystickError(message, {
    code,
    hint:
      "it may still be mined, and the daemon's transactions wait behind it: look it up before sending again, and " +
      "replace it by a transaction of the same nonce with higher fees when it stays",
    ...(party === undefined ? {} : { party }),
    ...(check === undefined ? {} : { check }),
    ...(details === undefined ? {} : { details }),
    retryable: false,
    cause: error,
  });
}

/** A whole number above nought, of the token's smallest unit. @throws InvalidInputError */
export function readAmount(text: string, name: string): bigint {
  if (/^\d{1,78}$/.test(text) && BigInt(text) > 0n) return BigInt(text);
  throw new InvalidInputError(`${name} is not a whole number above nought`, {
    check: name,
    expected: "the token's smallest unit, wei for the chain's coin",
    received: text,
    hint: "--help shows an example",
  });
}

/** An account or a token of an option. @param otherwise when the option is not given */
export function readAddress(options: CommandOptions, name: "token" | "to", otherwise: string): string {
  const given = options[name];
  return given === undefined ? otherwise : checksumAddress(String(given), `--${name}`);
}
