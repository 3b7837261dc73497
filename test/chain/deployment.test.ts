import { createServer, type Socket } from "node:net";
import { expect } from "chai";
import {
  connectChain,
  type Deployment,
  NoDeploymentError,
  parseDeployment,
  requireDeployedKeys,
} from "../../offchain/chain/deployment.ts";
import { ChainUnavailableError } from "../../offchain/chain/revert.ts";
import { fromHex } from "../../offchain/core/encoding/hex.ts";
import { UnknownVersionError } from "../../offchain/core/errors.ts";
import { type Anvil, startAnvil, startFaultyProxy } from "../helpers/anvil.ts";
import { deployTo } from "../helpers/contracts.ts";
import { failure } from "../helpers/promises.ts";
import { expectRejection } from "../helpers/rejection.ts";

const ADDRESS = "0x5FbDB2315678afecb367f032d93F642f64180aa3";

function sample(): Deployment {
  return {
    version: 1,
    chainId: 31_337,
    rpcUrl: "http://127.0.0.1:8545",
    contracts: {
      nodeRegistry: ADDRESS,
      keyLedger: ADDRESS,
      storageEscrow: ADDRESS,
      possessionVerifier: ADDRESS,
      randomness: ADDRESS,
      ownersPolicy: ADDRESS,
      recoveryPolicy: ADDRESS,
      accountDirectory: ADDRESS,
    },
    deployedAtBlock: 1,
    committeeId: "1",
    providers: [{ account: ADDRESS, url: "http://127.0.0.1:9000" }],
  };
}

const KEYS = { oprf: `0x${"12".repeat(32)}`, record: `0x${"34".repeat(32)}` };

describe("deployment file", () => {
  it("may have the keys of its committee, and nobody else's", () => {
    const keyed = { ...sample(), committeeKeys: KEYS };
    expect(parseDeployment(JSON.parse(JSON.stringify(keyed)))).to.deep.equal(keyed);
    const ofNone = { ...keyed, committeeId: "0" };
    expect(() => parseDeployment(ofNone))
      .to.throw(NoDeploymentError)
      .with.property("check", "committee of the keys");
  });

  it("tells an endpoint that states another key of the committee, and nothing of other committees", () => {
    const keyed = { ...sample(), committeeKeys: KEYS };
    const right = { oprf: fromHex(KEYS.oprf), record: fromHex(KEYS.record) };
    const other = new Uint8Array(32);
    requireDeployedKeys(keyed, 1n, right);
    requireDeployedKeys(keyed, 2n, { oprf: other, record: other });
    requireDeployedKeys(sample(), 1n, { oprf: other, record: other });
    for (const purpose of ["oprf", "record"] as const) {
      const error = expectRejection(() => requireDeployedKeys(keyed, 1n, { ...right, [purpose]: other }), "INTEGRITY");
      expect(error).to.include({ party: "chain", check: `${purpose} key of the committee`, expected: KEYS[purpose] });
    }
  });

  it("is read as it was written", () => {
    expect(parseDeployment(JSON.parse(JSON.stringify(sample())))).to.deep.equal(sample());
  });

  it("refuses a version it does not know, before anything else", () => {
    for (const version of [0, 2, "1"]) {
      expect(() => parseDeployment({ version }))
        .to.throw(UnknownVersionError)
        .with.property("received", String(version));
    }
  });

  const wrong: [string, (deployment: Record<string, unknown>) => void, string][] = [
    ["no version", (d) => delete d.version, "/version"],
    ["a chain id of nought", (d) => Object.assign(d, { chainId: 0 }), "/chainId"],
    ["a websocket URL", (d) => Object.assign(d, { rpcUrl: "ws://127.0.0.1:8545" }), "/rpcUrl"],
    ["a missing contract", (d) => delete (d.contracts as Record<string, unknown>).keyLedger, "/contracts/keyLedger"],
    [
      "a short address",
      (d) => Object.assign(d.contracts as object, { randomness: ADDRESS.slice(0, -1) }),
      "/contracts/randomness",
    ],
    ["a committee number as a number", (d) => Object.assign(d, { committeeId: 1 }), "/committeeId"],
    [
      "a malformed key of the committee",
      (d) => Object.assign(d, { committeeKeys: { ...KEYS, record: "0x12" } }),
      "/committeeKeys/record",
    ],
    ["an unknown source of randomness", (d) => Object.assign(d, { randomness: { kind: "coin" } }), "/randomness/kind"],
    [
      "a malformed chain hash",
      (d) => Object.assign(d, { randomness: { kind: "drand", chainHash: "0x52" } }),
      "/randomness/chainHash",
    ],
    [
      "a relay that is no URL",
      (d) => Object.assign(d, { randomness: { kind: "drand", relays: ["file:///etc"] } }),
      "/randomness/relays/0",
    ],
    ["a negative block", (d) => Object.assign(d, { deployedAtBlock: -1 }), "/deployedAtBlock"],
    ["a provider without a URL", (d) => Object.assign(d, { providers: [{ account: ADDRESS }] }), "/providers/0/url"],
  ];
  for (const [name, spoil, path] of wrong) {
    it(`refuses ${name} and says where`, () => {
      const json = JSON.parse(JSON.stringify(sample())) as Record<string, unknown>;
      spoil(json);
      expect(() => parseDeployment(json))
        .to.throw(NoDeploymentError, `wrong at ${path}`)
        .with.property("code", "NO_DEPLOYMENT");
    });
  }

  it("refuses what is no object", () => {
    for (const json of [null, 1, "x", []]) expect(() => parseDeployment(json)).to.throw(NoDeploymentError);
  });
});

describe("connecting to a deployment's chain", () => {
  let anvil: Anvil;
  let deployment: Deployment;

  before(async () => {
    anvil = await startAnvil();
    deployment = await deployTo(anvil.url);
  });
  after(() => anvil.kill());

  it("succeeds where the contracts are", async () => {
    const chain = await connectChain(deployment);
    expect(chain.deployment).to.equal(deployment);
    expect(await chain.provider.getBlockNumber()).to.be.at.least(deployment.deployedAtBlock);
    chain.close();
  });

  it("takes another endpoint of the same chain", async () => {
    const proxy = await startFaultyProxy(anvil.url);
    const chain = await connectChain(deployment, { rpcUrl: proxy.url });
    chain.close();
    await proxy.close();
    expect(proxy.seen).to.include("eth_chainId");
  });

  it("refuses a chain with another id", async () => {
    const error = await failure(connectChain({ ...deployment, chainId: 11_155_111 }));
    expect(error).to.be.instanceOf(NoDeploymentError);
    expect(error).to.include({ check: "chain id", expected: "11155111", received: "31337" });
  });

  it("refuses a chain without code at one of the addresses", async () => {
    const contracts = { ...deployment.contracts, keyLedger: "0x00000000000000000000000000000000000000aa" };
    const error = await failure(connectChain({ ...deployment, contracts }));
    expect(error).to.be.instanceOf(NoDeploymentError);
    expect(error).to.include({ check: "contract code", expected: "code of keyLedger" });
  });

  it("says that the endpoint failed when nothing listens there", async () => {
    const gone = await startAnvil();
    await gone.kill();
    const error = await failure(connectChain({ ...deployment, rpcUrl: gone.url }));
    expect(error).to.be.instanceOf(ChainUnavailableError);
    expect(error).to.include({ code: "CHAIN_UNAVAILABLE", retryable: true });
  });

  it("gives up on an endpoint that accepts connections and stays silent", async () => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => sockets.add(socket));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    const rpcUrl = `http://127.0.0.1:${address.port}`;
    const error = await failure(connectChain({ ...deployment, rpcUrl }, { requestTimeoutSeconds: 0.2 }));
    server.close();
    for (const socket of sockets) socket.destroy();
    expect(error).to.be.instanceOf(ChainUnavailableError);
  });
});
