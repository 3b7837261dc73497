/** The keys of a committee from nodes of which some lie, do not know them, or do not answer. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { randomBytes } from "ethers";
import { AgentAccount } from "../../../offchain/agent/account.ts";
import { keyMaterialFromNodes } from "../../../offchain/agent/keys/key-material.ts";
import { NbmClient } from "../../../offchain/agent/keys/nbm-client.ts";
import { keyMaterialHash, toMaterial } from "../../../offchain/chain/registry.ts";
import { SessionTokens } from "../../../offchain/http/sessions.ts";

const NOBODY = `0x${"11".repeat(20)}`;

function someKeys() {
  const of = () => ({ groupPublicKey: randomBytes(32), verificationShares: [randomBytes(32), randomBytes(32)] });
  return { oprf: of(), record: of() };
}

describe("key material from archives", () => {
  const servers: Server[] = [];
  const keys = someKeys();
  const hash = keyMaterialHash(keys);
  const asked: string[] = [];

  /** @param answer undefined: none, ever */
  async function nodeThat(status: number, answer: unknown): Promise<NbmClient> {
    const server = createServer((request, response) => {
      asked.push(request.url ?? "");
      if (answer === undefined) return;
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const account = new AgentAccount(randomBytes(32));
    const sessions = new SessionTokens(account, {
      chainId: 1,
      contracts: { keyLedger: NOBODY, storageEscrow: NOBODY },
    });
    return new NbmClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, NOBODY, sessions);
  }

  const lying = () => nodeThat(200, toMaterial(someKeys()));
  const ignorant = () => nodeThat(404, { error: { code: "NOT_FOUND", message: "none" } });
  const malformed = () => nodeThat(200, { ...toMaterial(keys), oprfShares: ["0x00"] });
  const endless = () => nodeThat(200, { ...toMaterial(keys), more: "x".repeat(70_000) });
  const hanging = () => nodeThat(200, undefined);
  const honest = () => nodeThat(200, toMaterial(keys));

  afterEach(() => {
    asked.length = 0;
    for (const server of servers.splice(0)) {
      server.close();
      server.closeAllConnections();
    }
  });

  it("is that of one honest node, whatever the others do, without waiting for them", async () => {
    const nodes = await Promise.all([hanging(), lying(), ignorant(), malformed(), honest(), endless()]);
    expect(await keyMaterialFromNodes(nodes, { keyMaterialHash: hash })).to.deep.equal(keys);
    expect(new Set(asked)).to.deep.equal(new Set([`/v1/key-material/${hash}`]));
  });

  it("is none where no node gives what the chain has the hash of", async () => {
    for (const node of [lying, ignorant, malformed, endless]) {
      expect(await keyMaterialFromNodes([await node()], { keyMaterialHash: hash })).to.equal(undefined);
    }
    expect(await keyMaterialFromNodes([], { keyMaterialHash: hash })).to.equal(undefined);
  });
});
