/**
 * The relay of a devnet's drand network, as a process: it answers `GET /<chain hash>/public/<round>` from the time on
 * at which the round is published.
 *
 *   node scripts/devnet/drand-relay.ts <port>
 */
import { createServer } from "node:http";
import { drandRoundTime } from "../../offchain/core/randomness/drand.ts";
import { beaconOf, DEVNET_NETWORK } from "./drand-network.ts";

const ROUND_PATH = new RegExp(`^/${DEVNET_NETWORK.chainHash}/public/([1-9][0-9]{0,14})$`);

const server = createServer((request, response) => {
  const round = ROUND_PATH.exec(request.url ?? "")?.[1];
  const now = BigInt(Math.floor(Date.now() / 1000));
  if (round === undefined || drandRoundTime(DEVNET_NETWORK, BigInt(round)) > now) {
    response.writeHead(404, { "content-type": "text/plain" }).end("no such round yet\n");
    return;
  }
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(beaconOf(DEVNET_NETWORK, BigInt(round))));
});
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    server.close();
    server.closeAllConnections();
  });
}
server.listen(Number(process.argv[2]), "127.0.0.1", () => process.stdout.write('{"ready":true}\n'));
