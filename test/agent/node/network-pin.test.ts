/**
 * A home folder belongs to the network it was first used with; another one is refused until the user forgets the first.
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { describeNetwork, isLoopback, networkFacts } from "../../../offchain/agent/network-facts.ts";
import { findDeployment } from "../../../offchain/agent/node/deployment-file.ts";
import { forgetNetwork, meetNetwork, pinNetwork, pinPath, readPin } from "../../../offchain/agent/node/network-pin.ts";
import { CONTRACT_NAMES, type Deployment } from "../../../offchain/chain/deployment.ts";
import { type Anvil, startAnvil } from "../../helpers/anvil.ts";
import { expectAsyncRejection, expectRejection } from "../../helpers/rejection.ts";

const address = (digit: number) => `0x${String(digit).repeat(40)}`;

function deploymentAt(rpcUrl: string): Deployment {
  return {
    version: 1,
    chainId: 31_337,
    rpcUrl,
    contracts: {
      nodeRegistry: address(1),
      keyLedger: address(2),
      storageEscrow: address(3),
      possessionVerifier: address(7),
      randomness: address(4),
      ownersPolicy: address(6),
      recoveryPolicy: address(8),
      accountDirectory: `0x${"ab".repeat(20)}`,
    },
    deployedAtBlock: 0,
    committeeId: "1",
    providers: [],
  };
}

describe("pinned network", () => {
  let home: string;
  let chain: Anvil;
  let restarted: Anvil;
  let deployment: Deployment;

  before(async () => {
    // The same addresses and chain id, another first block: a development chain that was started anew.
    [chain, restarted] = await Promise.all([
      startAnvil(["--timestamp", "1700000000"]),
      startAnvil(["--timestamp", "1700000001"]),
    ]);
    deployment = deploymentAt(chain.url);
  });
  after(() => Promise.all([chain, restarted].map((one) => one?.kill())));
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "tallystick-pin-"));
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  it("is written at first use, readable by its owner alone, and checked against the chain from then on", async () => {
    expect(readPin(home)).to.equal(undefined);
    await pinNetwork(home, deployment);
    const pin = readPin(home);
    expect(pin).to.deep.include({ chainId: 31_337, contracts: deployment.contracts, committeeId: "1" });
    expect(statSync(pinPath(home)).mode & 0o777).to.equal(0o600);
    const written = readFileSync(pinPath(home), "utf8");
    await pinNetwork(home, deployment);
    expect(readFileSync(pinPath(home), "utf8")).to.equal(written);
  });

  it("lets endpoint and provider change, and the case of addresses", async () => {
    await pinNetwork(home, deployment);
    const { contracts } = deployment;
    await pinNetwork(home, {
      ...deployment,
      rpcUrl: deployment.rpcUrl.replace("127.0.0.1", "localhost"),
      contracts: { ...contracts, keyLedger: contracts.keyLedger.toUpperCase().replace("0X", "0x") },
      deployedAtBlock: 7,
      providers: [{ account: address(5), url: "http://127.0.0.1:4000" }],
    });
  });

  const others: readonly [string, (deployment: Deployment) => Deployment][] = [
    ["chain id", (one) => ({ ...one, chainId: 1 })],
    ["committee", (one) => ({ ...one, committeeId: "2" })],
    ["committee", (one) => ({ ...one, committeeId: "0" })],
    ...CONTRACT_NAMES.map((name): [string, (deployment: Deployment) => Deployment] => [
      `contract ${name}`,
      (one) => ({ ...one, contracts: { ...one.contracts, [name]: address(9) } }),
    ]),
  ];
  for (const [check, change] of others) {
    it(`refuses another ${check}, before the chain is asked`, async () => {
      await pinNetwork(home, deployment);
      const other = { ...change(deployment), rpcUrl: "http://127.0.0.1:9" };
      const refused = await expectAsyncRejection(() => pinNetwork(home, other), "WRONG_NETWORK");
      expect(refused).to.include({ check });
      expect(refused.hint).to.contain("--home").and.to.contain("tallystick network forget");
      const named = join(home, "other.json");
      writeFileSync(named, JSON.stringify(other));
      expectRejection(() => findDeployment({ named, homeDir: home }), "WRONG_NETWORK");
    });
  }

  it("has the keys of the committee as the file first had them, and refuses others, or none", async () => {
    const key = (digit: number) => `0x${String(digit).repeat(64)}`;
    const keyed = { ...deployment, committeeKeys: { oprf: key(1), record: key(2) } };
    await pinNetwork(home, keyed);
    await pinNetwork(home, keyed);
    expect(readPin(home)?.committeeKeys).to.deep.equal(keyed.committeeKeys);
    const other = { ...keyed, committeeKeys: { oprf: key(1), record: key(3) } };
    const refused = await expectAsyncRejection(() => pinNetwork(home, other), "WRONG_NETWORK");
    expect(refused).to.include({ check: "record key of the committee", expected: key(2), received: key(3) });
    const without = await expectAsyncRejection(() => pinNetwork(home, deployment), "WRONG_NETWORK");
    expect(without).to.include({ check: "oprf key of the committee", expected: key(1), received: "none" });
  });

  it("takes a file that has learnt the keys of the committee since", async () => {
    await pinNetwork(home, deployment);
    await pinNetwork(home, { ...deployment, committeeKeys: { oprf: address(1).padEnd(66, "1"), record: "0x" } });
    expect(readPin(home)?.committeeKeys).to.equal(undefined);
  });

  it("is met ahead only where it is pinned, and then as strictly", async () => {
    const first = meetNetwork(home, deployment);
    expect([first.chain, readPin(home)]).to.deep.equal([undefined, undefined]);
    await first.pinned();
    expect(readPin(home)?.chainId).to.equal(31_337);
    const other = { ...deployment, committeeId: "2", rpcUrl: "http://127.0.0.1:9" };
    expectRejection(() => meetNetwork(home, other), "WRONG_NETWORK");
    const anew = meetNetwork(home, { ...deployment, rpcUrl: restarted.url });
    await expectAsyncRejection(() => anew.pinned(), "WRONG_NETWORK", /started anew/);
    // There are no contracts.
    await expectAsyncRejection(async () => await anew.chain, "NO_DEPLOYMENT");
    anew.close();
  });

  it("refuses a chain that was started anew, until the network is forgotten", async () => {
    await pinNetwork(home, deployment);
    const anew = { ...deployment, rpcUrl: restarted.url };
    const refused = await expectAsyncRejection(() => pinNetwork(home, anew), "WRONG_NETWORK", /started anew/);
    expect(refused.hint).to.contain("tallystick network forget");
    expect(forgetNetwork(home)).to.equal(true);
    expect(forgetNetwork(home)).to.equal(false);
    await pinNetwork(home, anew);
    await expectAsyncRejection(() => pinNetwork(home, deployment), "WRONG_NETWORK");
  });

  it("refuses a chain that has no deployment block yet", async () => {
    await chain.rpc("anvil_mine", ["0x5"]);
    await pinNetwork(home, { ...deployment, deployedAtBlock: 5 });
    const shorter = { ...deployment, rpcUrl: restarted.url };
    expect(await expectAsyncRejection(() => pinNetwork(home, shorter), "WRONG_NETWORK")).to.include({
      received: "no such block",
    });
  });

  it("is refused at first use when the chain lacks the deployment block, since nothing could be pinned", async () => {
    const later = { ...deployment, rpcUrl: restarted.url, deployedAtBlock: 1000 };
    await expectAsyncRejection(() => pinNetwork(home, later), "NO_DEPLOYMENT", /no block 1000/);
    expect(readPin(home)).to.equal(undefined);
  });

  it("pins nothing while the chain does not answer", async () => {
    await expectAsyncRejection(
      () => pinNetwork(home, { ...deployment, rpcUrl: "http://127.0.0.1:9" }),
      "CHAIN_UNAVAILABLE",
    );
    expect(readPin(home)).to.equal(undefined);
  });

  it("does not pass over a damaged pin, which can be forgotten", () => {
    for (const text of ["", "{", "[]", "{}", '{"version":1}']) {
      writeFileSync(pinPath(home), text);
      expectRejection(() => readPin(home), "INVALID_INPUT");
    }
    writeFileSync(pinPath(home), '{"version":2}');
    expectRejection(() => readPin(home), "UNKNOWN_VERSION");
    expect(forgetNetwork(home)).to.equal(true);
    expect(readPin(home)).to.equal(undefined);
  });
});

describe("network in words", () => {
  it("names chain, host and escrow, and leaves out what may be an access key", () => {
    const text = describeNetwork(
      networkFacts(deploymentAt("https://user:secret@rpc.example.org:8443/v3/KEY?token=KEY")),
    );
    expect(text).to.equal(`development chain (chain id 31337) at rpc.example.org:8443, escrow ${address(3)}`);
    const sepolia = { ...deploymentAt("https://rpc.example.org/KEY"), chainId: 11_155_111 };
    expect(networkFacts(sepolia)).to.include({ name: "sepolia", rpcHost: "rpc.example.org" });
    expect(networkFacts({ ...sepolia, chainId: 424_242_424 })).to.not.have.property("name");
  });

  it("tells loopback addresses from addresses that look similar", () => {
    for (const url of ["http://127.0.0.1:1", "http://127.9.9.9", "http://localhost:80", "http://[::1]:80"]) {
      expect(isLoopback(url), url).to.equal(true);
    }
    for (const url of [
      "http://127.0.0.1.example.org",
      "http://localhost.example.org",
      "http://10.0.0.1",
      "http://127.0.0.1@example.org",
      "",
    ]) {
      expect(isLoopback(url), url).to.equal(false);
    }
  });
});
