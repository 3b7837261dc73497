/**
 * What a wallet opens keystores with: its deterministic signature over the message of keystore-message.ts, as
 * r ‖ s (64 bytes) with low s. Neither v nor the form in which a wallet encodes a signature is part of it.
 *
 *     key of a slot = kdf(r ‖ s, "keystore-wallet", wallet (20) ‖ challenge (32) ‖ salt of the slot (32))
 *
 * One signature thus opens and seals any number of keystores with keys of their own: the successor of a rotated
 * identity is sealed for the same wallet without asking it again.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { kdf } from "../crypto/kdf.ts";
import { checksumAddress } from "../encoding/address.ts";
import { fromHex } from "../encoding/hex.ts";

/** A wallet as a keystore names it. */
export interface WalletOpener {
  /** Account of the wallet, with its checksum. */
  readonly wallet: string;
  /** What the message for the wallet contains: 32 random bytes, 0x hex. */
  readonly challenge: string;
}

export class WalletKey implements WalletOpener {
  readonly wallet: string;
  readonly challenge: string;
  readonly #signature: Uint8Array;

  /**
   * @param signature r ‖ s with low s, checked by `walletKeyOf` (wallet-signature.ts). The object takes the bytes over,
   *   and wipes them.
   */
  constructor({ wallet, challenge }: WalletOpener, signature: Uint8Array) {
    this.wallet = checksumAddress(fromHex(wallet.toLowerCase()));
    this.challenge = challenge.toLowerCase();
    this.#signature = signature;
  }

  /** The key of a slot. @param salt 32 bytes @returns 32 bytes; the caller wipes them */
  slotKey(salt: Uint8Array): Uint8Array {
    const info = concatBytes(fromHex(this.wallet.toLowerCase()), fromHex(this.challenge), salt);
    return kdf(this.#signature, "keystore-wallet", info);
  }

  /** Erases the signature. The object opens nothing then. */
  wipe(): void {
    this.#signature.fill(0);
  }
}
