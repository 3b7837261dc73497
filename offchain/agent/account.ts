/** The user's account as the agent uses it: it signs EIP-712 messages. */

import { SigningKey, TypedDataEncoder } from "ethers";
import { addressOfPrivateKey } from "../core/encoding/address.ts";
import { toHex } from "../core/encoding/hex.ts";
import type { TypedData } from "../core/identity/typed-messages.ts";

/** Any key. */
const ONE = `0x${"1".padStart(64, "0")}`;

/**
 * Makes the tables that signing needs, once for the process: they take as long as all other steps before the first
 * request. For whoever waits for something else.
 */
export function prepareSigning(): void {
  new SigningKey(ONE).sign(ONE);
}

/** A secp256k1 key and its address. */
export class AgentAccount {
  readonly address: string;
  readonly #key: SigningKey;

  /** @param signingKey 32 bytes; not kept as such. */
  constructor(signingKey: Uint8Array) {
    this.address = addressOfPrivateKey(signingKey);
    this.#key = new SigningKey(toHex(signingKey));
  }

  /** @returns the 65-byte signature, 0x hex. */
  async sign<Message extends object>(typed: TypedData<Message>): Promise<string> {
    const { domain, types, message } = typed;
    return this.#key.sign(TypedDataEncoder.hash(domain, types, { ...message })).serialized;
  }
}
