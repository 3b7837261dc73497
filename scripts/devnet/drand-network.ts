/** A drand network of one member, whose key whoever starts it holds: real signatures, for development and tests. */
import { bls12_381 } from "@noble/curves/bls12-381.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { u64be } from "../../offchain/core/encoding/integers.ts";
import type { DrandNetwork } from "../../offchain/core/randomness/drand.ts";

const DOMAIN = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
/** Rounds whose signatures are kept. */
const KEPT_ROUNDS = 1024;

export interface SigningNetwork extends DrandNetwork {
  /** @returns the signature of a round, compressed */
  sign(round: bigint): Uint8Array;
}

/** @param name networks of different names have different keys, which follow from the name and are no secret */
export function signingNetwork(name: string, times: Partial<DrandNetwork> = {}): SigningNetwork {
  const { secretKey, publicKey } = bls12_381.shortSignatures.keygen(
    Uint8Array.from([...sha256(utf8ToBytes(name)), ...sha256(utf8ToBytes(`${name} again`))].slice(0, 48)),
  );
  // A signature takes a quarter of a second on a busy machine, which a relay does not need for its answer.
  const signatures = new Map<bigint, Uint8Array>();
  const sign = (round: bigint): Uint8Array => {
    const known = signatures.get(round);
    if (known !== undefined) return known;
    const signature = bls12_381.shortSignatures.sign(hashRound(round), secretKey).toBytes(true);
    signatures.set(round, signature);
    for (const oldest of signatures.keys()) {
      if (signatures.size <= KEPT_ROUNDS) break;
      signatures.delete(oldest);
    }
    return signature;
  };
  return {
    chainHash: bytesToHex(sha256(publicKey.toBytes(true))),
    publicKey: publicKey.toBytes(true),
    genesisTime: 1_700_000_000n,
    periodSeconds: 3n,
    marginSeconds: 30n,
    ...times,
    sign,
  };
}

/** The point that a round's signature multiplies. */
export function hashRound(round: bigint) {
  return bls12_381.shortSignatures.hash(sha256(u64be(round)), DOMAIN);
}

/** What a relay answers for a round. */
export function beaconOf(
  network: SigningNetwork,
  round: bigint,
): { round: number; randomness: string; signature: string } {
  const signature = network.sign(round);
  return { round: Number(round), randomness: bytesToHex(sha256(signature)), signature: bytesToHex(signature) };
}

/** The network of a devnet: a round every second, and none for blocks of the second before. */
export const DEVNET_NETWORK = signingNetwork("tallystick devnet", { periodSeconds: 1n, marginSeconds: 1n });
