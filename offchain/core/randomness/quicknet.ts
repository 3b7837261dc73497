/**
 * drand's main network of the scheme `bls-unchained-g1-rfc9380`, run by the League of Entropy. Its relays answer the
 * same at `GET /<chain hash>/info`.
 *
 * @see https://docs.drand.love/dev-guide/API%20Documentation%20v2/
 */
import { hexToBytes } from "@noble/hashes/utils.js";
import type { DrandNetwork } from "./drand.ts";

export const QUICKNET: Omit<DrandNetwork, "marginSeconds"> = {
  chainHash: "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971",
  publicKey: hexToBytes(
    "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451" +
      "0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a",
  ),
  genesisTime: 1_692_803_367n,
  periodSeconds: 3n,
};

/** Relays of the League of Entropy's members. */
export const QUICKNET_RELAYS: readonly string[] = [
  "https://api.drand.sh",
  "https://api2.drand.sh",
  "https://api3.drand.sh",
  "https://drand.cloudflare.com",
];
