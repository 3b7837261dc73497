/** The user's account as the agent uses it: it signs EIP-712 messages. */

import { Wallet } from "ethers";
import { addressOfPrivateKey } from "../core/encoding/address.ts";
import { toHex } from "../core/encoding/hex.ts";
import type { TypedData } from "../core/identity/typed-messages.ts";

/** A secp256k1 key and its address. */
export class AgentAccount {
  readonly address: string;
  readonly #key: string;
  #wallet: Wallet | undefined;

  /** @param signingKey 32 bytes; not kept as such. */
  constructor(signingKey: Uint8Array) {
    this.address = addressOfPrivateKey(signingKey);
    this.#key = toHex(signingKey);
  }

  /** @returns the 65-byte signature, 0x hex. */
  async sign<Message extends object>(typed: TypedData<Message>): Promise<string> {
    // Made when something is to be signed: its tables take a while, and many commands sign nothing.
    this.#wallet ??= new Wallet(this.#key);
    return await this.#wallet.signTypedData(typed.domain, typed.types, { ...typed.message });
  }
}
