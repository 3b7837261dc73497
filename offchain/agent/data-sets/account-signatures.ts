/** Signatures of typed messages by accounts, and by whoever signs for a provider. */

import { TypedDataEncoder, verifyTypedData } from "ethers";
import type { ChainReader } from "../../chain/deployment.ts";
import { readOperator } from "../../chain/escrow.ts";
import { isAccountSignature } from "../../chain/ledger.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { InvalidSignatureError } from "../../core/errors.ts";
import type { TypedData } from "../../core/identity/typed-messages.ts";

/** 65 bytes, of which the last is 27 or 28. ethers also reads other forms, which the contract refuses. */
const ECDSA_SIGNATURE = /^0x[0-9a-f]{128}1[bc]$/;

/** The account whose key has signed. @returns undefined for bytes that are no signature of a key */
export function signerOf(typed: TypedData<object>, signature: string): string | undefined {
  if (!ECDSA_SIGNATURE.test(signature)) return undefined;
  try {
    return verifyTypedData(typed.domain, typed.types, { ...typed.message }, signature);
  } catch {
    return undefined;
  }
}

/** Whether the key of an account has signed, without asking the chain. */
export function isKeySignature(account: string, typed: TypedData<object>, signature: string): boolean {
  const signer = signerOf(typed, signature);
  return signer !== undefined && isAddressEqual(signer, account);
}

/** Whether an account has signed, also one that is a contract (EIP-1271). */
export async function isSignatureOf(
  chain: ChainReader,
  account: string,
  typed: TypedData<object>,
  signature: string,
): Promise<boolean> {
  if (isKeySignature(account, typed, signature)) return true;
  const digest = TypedDataEncoder.hash(typed.domain, typed.types, { ...typed.message });
  return await isAccountSignature(chain, account, digest, signature);
}

/**
 * @param what was signed, for the error
 * @throws InvalidSignatureError unless it is by whoever signs for the provider now
 */
export async function requireSignedByProvider(
  chain: ChainReader,
  provider: { readonly name: string; readonly account: string },
  typed: TypedData<object>,
  signature: string,
  what: string,
): Promise<void> {
  const operator = await readOperator(chain, provider.account);
  if (await isSignatureOf(chain, operator, typed, signature)) return;
  throw new InvalidSignatureError(`${provider.name} did not sign ${what}`, {
    party: provider.name,
    check: `signature of ${what}`,
    expected: `by ${operator}`,
    hint: "nothing was sent; run the command again, or choose another provider",
  });
}
