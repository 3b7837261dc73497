/** A drand network of one member: real signatures by a generated key, and a relay that serves them over HTTP. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { bls12_381 } from "@noble/curves/bls12-381.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { u64be } from "../../offchain/core/encoding/integers.ts";
import type { DrandNetwork } from "../../offchain/core/randomness/drand.ts";
import { serveHandler } from "./http-server.ts";

const DOMAIN = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

/** drand's main network, and a signature of it. */
export const QUICKNET: DrandNetwork = {
  chainHash: "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971",
  publicKey: Uint8Array.from(
    Buffer.from(
      "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451" +
        "0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a",
      "hex",
    ),
  ),
  genesisTime: 1_692_803_367n,
  periodSeconds: 3n,
  marginSeconds: 30n,
};
export const QUICKNET_ROUND = 1000n;
export const QUICKNET_SIGNATURE = Uint8Array.from(
  Buffer.from(
    "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39",
    "hex",
  ),
);

/** A network whose key a test holds. */
export interface TestNetwork extends DrandNetwork {
  /** @returns the signature of a round, compressed */
  sign(round: bigint): Uint8Array;
}

/** @param name - networks of different names have different keys */
export function testNetwork(name: string, times: Partial<DrandNetwork> = {}): TestNetwork {
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

export interface TestRelay {
  readonly url: string;
  /** Paths that were asked for. */
  readonly asked: string[];
  /** Answers in place of the relay. */
  answer: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  close(): void;
}

/** What a relay answers for a round. */
export function beaconOf(
  network: TestNetwork,
  round: bigint,
): { round: number; randomness: string; signature: string } {
  const signature = network.sign(round);
  return { round: Number(round), randomness: bytesToHex(sha256(signature)), signature: bytesToHex(signature) };
}

/** A relay of a network. It knows every round, also those of the future. */
export async function startRelay(network: TestNetwork): Promise<TestRelay> {
  const relay: Omit<TestRelay, "close" | "url"> = { asked: [], answer: undefined };
  const { server, url } = await serveHandler((request, response) => {
    relay.asked.push(request.url ?? "");
    if (relay.answer !== undefined) return relay.answer(request, response);
    const round = new RegExp(`^/${network.chainHash}/public/([0-9]+)$`).exec(request.url ?? "")?.[1];
    if (round === undefined) {
      response.writeHead(404).end("not found");
      return;
    }
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(beaconOf(network, BigInt(round))));
  });
  return Object.assign(relay, { url, close: () => closeServer(server) });
}

function closeServer(server: Server): void {
  server.closeAllConnections();
  server.close();
}
