/**
 * Signatures over EIP-712 messages, as daemons check them. One rule for accounts, the one that the key ledger applies
 * on chain: ECDSA first, then EIP-1271 for accounts with code. So every account that can act on chain can also open a
 * session.
 */

import { getAddress, TypedDataEncoder, verifyTypedData } from "ethers";
import PQueue from "p-queue";
import type { ChainReader } from "../chain/deployment.ts";
import { isAccountSignature } from "../chain/ledger.ts";
import { InvalidInputError, InvalidSignatureError, TallystickError } from "../core/errors.ts";
import type { TypedData } from "../core/identity/typed-messages.ts";
import type { SignatureSource } from "./wallet-checks.ts";

/** 65 bytes, of which the last is 27 or 28. ethers also reads other forms, which the contracts refuse. */
const ECDSA_SIGNATURE = /^0x[0-9a-f]{128}1[bc]$/i;
/**
 * Questions to the chain about signatures that one daemon has under way. Anybody can cause them, before any session
 * is open.
 */
const QUESTIONS_IN_FLIGHT = 4;
const QUESTIONS_WAITING = 32;

const questions = new WeakMap<ChainReader["provider"], PQueue>();

/** `checkAccountSignature` for one chain and with the daemon's limit of questions to it (wallet-checks.ts). */
export type SignatureCheck = (
  account: string,
  typed: TypedData<object>,
  signature: string,
  source: SignatureSource,
) => Promise<void>;

/** The account with its EIP-55 checksum. @throws InvalidInputError when the checksum in the text is wrong. */
export function checksumAddress(text: string, name: string): string {
  try {
    return getAddress(text);
  } catch (cause) {
    throw new InvalidInputError(`${name} is not an account`, { check: "EIP-55 checksum", received: text, cause });
  }
}

/**
 * Whose ECDSA signature over `typed` this is.
 *
 * @returns the address with its checksum; undefined when the signature is not 65 bytes with v 27 or 28 and a low s,
 *   or is no curve point.
 */
export function recoverSigner(typed: TypedData<object>, signature: string): string | undefined {
  if (!ECDSA_SIGNATURE.test(signature)) return undefined;
  try {
    return verifyTypedData(typed.domain, typed.types, { ...typed.message }, signature);
  } catch {
    return undefined;
  }
}

/**
 * Checks that `account` signed `typed`. Asks the chain only when the signature is not the account's by ECDSA.
 *
 * @param beforeAskingChain may throw to refuse a check that costs requests to the chain.
 * @throws InvalidSignatureError when it did not; TallystickError RATE_LIMITED when too many such questions wait,
 *   CHAIN_UNAVAILABLE when the chain cannot be asked.
 */
export async function checkAccountSignature(
  chain: ChainReader,
  account: string,
  typed: TypedData<object>,
  signature: string,
  beforeAskingChain: () => void = () => undefined,
): Promise<void> {
  if (recoverSigner(typed, signature) === account) return;
  beforeAskingChain();
  const digest = TypedDataEncoder.hash(typed.domain, typed.types, { ...typed.message });
  if (await inTurn(chain, () => isAccountSignature(chain, account, digest, signature))) return;
  throw new InvalidSignatureError("the signature is not by the account", {
    party: `account ${account}`,
    check: "EIP-712 signature",
  });
}

function inTurn<T>(chain: ChainReader, ask: () => Promise<T>): Promise<T> {
  let queue = questions.get(chain.provider);
  if (queue === undefined) {
    queue = new PQueue({ concurrency: QUESTIONS_IN_FLIGHT });
    questions.set(chain.provider, queue);
  }
  if (queue.size >= QUESTIONS_WAITING) {
    throw new TallystickError("too many signatures wait to be checked on the chain", {
      code: "RATE_LIMITED",
      check: "signatures of contract wallets",
      hint: "repeat in a moment; signatures of plain accounts are not affected",
      retryable: true,
      retryAfterSeconds: 1,
    });
  }
  return queue.add(ask);
}
