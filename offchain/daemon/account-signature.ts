/**
 * Signatures of user accounts over EIP-712 messages, as daemons check them: ECDSA for plain accounts, EIP-1271 for contract
 * wallets, so that every account that can act on chain can also open a session.
 */

import { Contract, getAddress, type Provider, TypedDataEncoder, verifyTypedData } from "ethers";
import { InvalidInputError, InvalidSignatureError, TallystickError } from "../core/errors.ts";
import type { TypedData } from "../core/identity/typed-messages.ts";

/** r ‖ s ‖ v, with v 27 or 28. */
const PLAIN_SIGNATURE = /^0x[0-9a-f]{128}(?:1b|1c)$/i;

/** Gas that a wallet contract may use. A wallet with a passkey checked in Solidity takes about 350,000. */
const EIP1271_GAS = 500_000n;
const EIP1271_MAGIC = "0x1626ba7e";
const EIP1271_ABI = ["function isValidSignature(bytes32 hash, bytes signature) view returns (bytes4)"];

/** The account with its EIP-55 checksum. @throws InvalidInputError when the checksum in the text is wrong. */
export function checksumAddress(text: string, name: string): string {
  try {
    return getAddress(text);
  } catch (cause) {
    throw new InvalidInputError(`${name} is not an account`, { check: "EIP-55 checksum", received: text, cause });
  }
}

function recoverPlain(typed: TypedData<object>, signature: string): string | undefined {
  // ethers would take 0 and 1 for v as well; the contracts do not, and one signature has one form.
  if (!PLAIN_SIGNATURE.test(signature)) return undefined;
  try {
    return verifyTypedData(typed.domain, typed.types, { ...typed.message }, signature);
  } catch {
    // ethers throws for a signature that is no curve point or has a high s: it recovers to nobody.
    return undefined;
  }
}

async function walletAccepts(provider: Provider, account: string, typed: TypedData<object>, signature: string) {
  const hash = TypedDataEncoder.hash(typed.domain, typed.types, { ...typed.message });
  const wallet = new Contract(account, EIP1271_ABI, provider);
  try {
    return (
      (await wallet.getFunction("isValidSignature").staticCall(hash, signature, { gasLimit: EIP1271_GAS })) ===
      EIP1271_MAGIC
    );
  } catch (cause) {
    const code = (cause as { code?: string }).code;
    if (code === "CALL_EXCEPTION" || code === "BAD_DATA") return false;
    throw cause;
  }
}

/**
 * Checks that `account` signed `typed`.
 *
 * @param beforeAskingChain may throw to refuse a check that costs requests to the chain.
 * @throws InvalidSignatureError when it did not; TallystickError CHAIN_UNAVAILABLE when a contract wallet cannot be asked.
 */
export async function checkAccountSignature(
  provider: Provider,
  account: string,
  typed: TypedData<object>,
  signature: string,
  beforeAskingChain: () => void = () => undefined,
): Promise<void> {
  if (recoverPlain(typed, signature) === account) return;
  beforeAskingChain();
  let accepted = false;
  try {
    accepted = (await provider.getCode(account)) !== "0x" && (await walletAccepts(provider, account, typed, signature));
  } catch (cause) {
    throw new TallystickError("the chain cannot be asked about the signature", {
      code: "CHAIN_UNAVAILABLE",
      party: "chain",
      retryable: true,
      cause,
    });
  }
  if (!accepted) {
    throw new InvalidSignatureError("the signature is not by the account", {
      party: `account ${account}`,
      check: "EIP-712 signature",
    });
  }
}
