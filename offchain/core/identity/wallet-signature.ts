/**
 * From a wallet's signature to the key that opens a keystore. The key is a function of the signature, so the wallet has
 * to sign the same message with the same bytes each time, as RFC 6979 and hardware wallets do. Set-up has it sign twice
 * and compares.
 *
 * Wallets encode one signature in several ways, all of which give the same key: v as 27 or 28 or as 0 or 1, the compact
 * form of EIP-2098, and s or its negative (EIP-2 calls for the low one).
 */
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { bytesToNumberBE, concatBytes, numberToBytesBE } from "@noble/curves/utils.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { equalBytes, randomBytes } from "#primitives";
import { checksumAddress, isAddressEqual } from "../encoding/address.ts";
import { fromHex, toHex } from "../encoding/hex.ts";
import { InvalidSignatureError, TallystickError } from "../errors.ts";
import { type KeystoreMessage, keystoreDigest, keystoreMessage } from "./keystore-message.ts";
import { WalletKey, type WalletOpener } from "./wallet-key.ts";

/** Something that has wallets sign. Its failures are TallystickErrors. */
export interface WalletSigner {
  /** Accounts that it can sign with. */
  accounts(): Promise<readonly string[]>;
  /** @returns the signature of the wallet, in hex */
  sign(wallet: string, message: KeystoreMessage): Promise<string>;
}

const CHALLENGE_BYTES = 32;
const WORD_BYTES = 32;
const COMPACT_BYTES = 2 * WORD_BYTES;
const FULL_BYTES = COMPACT_BYTES + 1;
const ORDER = secp256k1.Point.Fn.ORDER;

/**
 * The key of a wallet for a new slot. The wallet signs the same message twice.
 *
 * @param wallet account that signs; the first one of the signer when absent
 * @throws TallystickError WALLET_UNSUITABLE when the signatures differ, or are none of one key, as those of contract
 *   wallets; WRONG_WALLET when they are of another account; whatever the signer throws
 */
export async function setUpWallet(signer: WalletSigner, wallet?: string): Promise<WalletKey> {
  const accounts = await signer.accounts();
  const account = accounts.find((one) => wallet === undefined || isAddressEqual(one, wallet));
  if (account === undefined) throw wrongWallet(wallet ?? "an account", accounts);
  const opener = { wallet: account, challenge: toHex(randomBytes(CHALLENGE_BYTES)) };
  const message = keystoreMessage(opener);
  const first = canonical(await signer.sign(opener.wallet, message), [opener]);
  const second = canonical(await signer.sign(opener.wallet, message), [opener]);
  const isSame = equalBytes(first.signature, second.signature);
  second.signature.fill(0);
  if (isSame) return new WalletKey(opener, first.signature);
  first.signature.fill(0);
  throw new TallystickError("the wallet signs the same message differently each time", {
    code: "WALLET_UNSUITABLE",
    party: `wallet ${opener.wallet}`,
    check: "two signatures of one message",
    expected: "equal signatures (RFC 6979), because the key of the keystore is made from them",
    received: "two different ones",
    hint:
      "use a wallet with a key of its own, such as a hardware wallet, or a passphrase; wallets that share their key " +
      "among several parties (MPC) sign at random",
  });
}

/**
 * Has one of the wallets of a keystore sign once.
 *
 * @param openers wallets of the keystore (`keystoreOpeners`), at least one
 * @throws TallystickError WRONG_WALLET when the signer has none of them, or signs with another account; as the signer
 */
export async function openByWallet(openers: readonly WalletOpener[], signer: WalletSigner): Promise<WalletKey> {
  const accounts = await signer.accounts();
  const opener = openers.find(({ wallet }) => accounts.some((account) => isAddressEqual(account, wallet)));
  if (opener === undefined) throw wrongWallet(namesOf(openers), accounts);
  return walletKeyOf([opener], await signer.sign(opener.wallet, keystoreMessage(opener)));
}

/**
 * The key of whichever wallet of the keystore has signed.
 *
 * @param signature in hex: 65 bytes `r ‖ s ‖ v` with v 0, 1, 27 or 28, or 64 bytes as EIP-2098 has them
 * @throws InvalidSignatureError for bytes that are no signature; TallystickError WRONG_WALLET for one of another
 *   account or over the message of another keystore, WALLET_UNSUITABLE for one of a contract wallet
 */
export function walletKeyOf(openers: readonly WalletOpener[], signature: string): WalletKey {
  const found = canonical(signature, openers);
  return new WalletKey(found.opener, found.signature);
}

interface SignedOpener {
  readonly opener: WalletOpener;
  /** r ‖ s with low s. */
  readonly signature: Uint8Array;
}

function canonical(text: string, openers: readonly WalletOpener[]): SignedOpener {
  const { r, s, isOdd } = parseSignature(text);
  const isHigh = s > ORDER >> 1n;
  const low = isHigh ? ORDER - s : s;
  const signature = new secp256k1.Signature(r, low, isOdd === isHigh ? 0 : 1);
  const signers = openers.map((opener) => ({ opener, signer: signerOf(signature, keystoreDigest(opener)) }));
  const match = signers.find(({ opener, signer }) => signer !== undefined && isAddressEqual(signer, opener.wallet));
  if (match === undefined) throw wrongWallet(namesOf(openers), [signers[0]?.signer ?? "no account"]);
  const bytes = concatBytes(numberToBytesBE(r, WORD_BYTES), numberToBytesBE(low, WORD_BYTES));
  return { opener: match.opener, signature: bytes };
}

/** @returns undefined when the numbers are the signature of no key */
function signerOf(signature: InstanceType<typeof secp256k1.Signature>, digest: Uint8Array): string | undefined {
  try {
    const uncompressed = signature.recoverPublicKey(digest).toBytes(false);
    return checksumAddress(keccak_256(uncompressed.subarray(1)).subarray(12));
  } catch {
    return undefined;
  }
}

function parseSignature(text: string): { readonly r: bigint; readonly s: bigint; readonly isOdd: boolean } {
  // What is no signature may still be a secret in the wrong place: only its length is told.
  if (!/^0x(?:[0-9a-fA-F]{2})*$/.test(text)) throw malformed("0x and hexadecimal digits", `${text.length} characters`);
  const bytes = fromHex(text);
  if (bytes.length === 0 || bytes.length > FULL_BYTES) throw ofContract(bytes.length);
  if (bytes.length < COMPACT_BYTES) throw malformed("65 or 64 bytes", `${bytes.length} bytes`);
  const r = bytesToNumberBE(bytes.subarray(0, WORD_BYTES));
  const second = bytesToNumberBE(bytes.subarray(WORD_BYTES, COMPACT_BYTES));
  const isCompact = bytes.length === COMPACT_BYTES;
  const top = 1n << 255n;
  const s = isCompact ? second % top : second;
  const v = isCompact ? Number(second >= top) : (bytes[COMPACT_BYTES] ?? 0);
  bytes.fill(0);
  if (![0, 1, 27, 28].includes(v)) throw malformed("v of 0, 1, 27 or 28", `v of ${v}`);
  if (r === 0n || r >= ORDER || s === 0n || s >= ORDER) throw malformed("r and s from 1 to the order less 1");
  return { r, s, isOdd: v === 1 || v === 28 };
}

function malformed(expected: string, received?: string): InvalidSignatureError {
  return new InvalidSignatureError("this is no signature of a wallet", {
    party: "you",
    check: "form of the signature",
    expected,
    ...(received === undefined ? {} : { received }),
    hint: "copy all of what the wallet returned, from 0x on",
  });
}

function ofContract(bytes: number): TallystickError {
  return new TallystickError("this is the signature of a contract wallet, which opens no keystore", {
    code: "WALLET_UNSUITABLE",
    party: "you",
    check: "length of the signature",
    expected: "64 or 65 bytes",
    received: `${bytes} bytes`,
    hint:
      "a contract may accept many signatures, so no key can be made from one: use a passphrase, and name the wallet " +
      "with `tallystick recovery protect --wallet`",
  });
}

function namesOf(openers: readonly WalletOpener[]): string {
  return openers.map(({ wallet }) => wallet).join(" or ");
}

function wrongWallet(expected: string, accounts: readonly string[]): TallystickError {
  return new TallystickError("the keystore does not open with this wallet", {
    code: "WRONG_WALLET",
    party: "you",
    check: "account that signs",
    expected,
    received: accounts.join(" or ") || "no account",
    hint:
      "select the expected account in the wallet, and sign the message of this keystore; " +
      "`tallystick identity show` has it",
  });
}
