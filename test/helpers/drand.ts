/** drand in tests: its main network, networks of one member, and a relay that serves their rounds over HTTP. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { DrandNetwork } from "../../offchain/core/randomness/drand.ts";
import { beaconOf, type SigningNetwork } from "../../scripts/devnet/drand-network.ts";
import { serveHandler } from "./http-server.ts";

export {
  beaconOf,
  hashRound,
  type SigningNetwork as TestNetwork,
  signingNetwork as testNetwork,
} from "../../scripts/devnet/drand-network.ts";

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

export interface TestRelay {
  readonly url: string;
  /** Paths that were asked for. */
  readonly asked: string[];
  /** Answers in place of the relay. */
  answer: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  close(): void;
}

/** A relay of a network. It knows every round, also those of the future. */
export async function startRelay(network: SigningNetwork): Promise<TestRelay> {
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
