/**
 * Who signed what evidence says. A provider may name another account to sign for it at any time, and must not void by
 * that what an earlier one has signed: every account that it ever named counts, and so does its own.
 */

import type { ChainReader } from "../../chain/deployment.ts";
import { readOperator } from "../../chain/escrow.ts";
import { operatorsNamed } from "../../chain/escrow-events.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { InvalidSignatureError } from "../../core/errors.ts";
import type { TypedData } from "../../core/identity/typed-messages.ts";
import { isKeySignature, isSignatureOf, signerOf } from "./account-signatures.ts";

/**
 * Former operators that are asked as contracts, the newest ones: a provider can name any number. Their keys all count,
 * and a contract can deny what it signed anyway.
 */
const FORMER_CONTRACTS = 16;

/** @throws InvalidSignatureError unless the user has signed */
export async function requireSignedByUser(
  user: string,
  typed: TypedData<object>,
  signature: string,
  chain: ChainReader | undefined,
): Promise<void> {
  const isBy =
    chain === undefined ? isKeySignature(user, typed, signature) : await isSignatureOf(chain, user, typed, signature);
  if (!isBy) throw notSigned("user", user, typed, chain);
}

/**
 * @returns what has to be believed of whoever signed; undefined when it is the provider, or signs for it now
 * @throws InvalidSignatureError unless the provider has signed, or an account that it has named; without a chain, for a
 *   signature that is of no key
 */
export async function requireSignedForProvider(
  provider: string,
  typed: TypedData<object>,
  signature: string,
  chain: ChainReader | undefined,
): Promise<string | undefined> {
  if (chain === undefined) {
    const signer = signerOf(typed, signature);
    if (signer === undefined) throw notSigned("provider", provider, typed, chain);
    return isAddressEqual(signer, provider) ? undefined : `that ${signer} signed for the provider ${provider}`;
  }
  const present = await readOperator(chain, provider);
  if (await isSignatureOf(chain, present, typed, signature)) return undefined;
  const signer = await formerSigner(chain, provider, typed, signature);
  if (signer === undefined) throw notSigned("provider", present, typed, chain);
  return `that ${signer} signed while it was the one to sign for the provider, which is now ${present}`;
}

/** The provider itself, or an operator that it once named, if that one has signed. */
async function formerSigner(
  chain: ChainReader,
  provider: string,
  typed: TypedData<object>,
  signature: string,
): Promise<string | undefined> {
  const key = signerOf(typed, signature);
  const newest: string[] = [];
  if (key !== undefined && isAddressEqual(key, provider)) return provider;
  for await (const operator of operatorsNamed(chain, provider)) {
    if (key !== undefined && isAddressEqual(key, operator)) return operator;
    const known = newest.indexOf(operator);
    if (known >= 0) newest.splice(known, 1);
    newest.push(operator);
    if (newest.length > FORMER_CONTRACTS) newest.shift();
  }
  for (const account of [provider, ...newest.toReversed()]) {
    if (await isSignatureOf(chain, account, typed, signature)) return account;
  }
  return undefined;
}

function notSigned(
  party: "user" | "provider",
  account: string,
  typed: TypedData<object>,
  chain: ChainReader | undefined,
): InvalidSignatureError {
  const others = party === "provider" && chain !== undefined ? ", or an account that signed for it before" : "";
  return new InvalidSignatureError(`the ${party} did not sign what the evidence says`, {
    party,
    check: `signature of ${typed.primaryType}`,
    expected: `by ${account}${others}`,
    ...(chain === undefined ? { hint: "check it with the chain: a contract may sign for an account" } : {}),
  });
}
