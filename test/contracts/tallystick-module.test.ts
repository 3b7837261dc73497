import { readFileSync } from "node:fs";
import { expect } from "chai";
import { toBeHex, type Wallet } from "ethers";
import hre from "hardhat";
import type { NetworkConnection } from "hardhat/types/network";
import { type DeployParameters, deployTallystick, type RandomnessPlan } from "../../ignition/deploy-tallystick.ts";
import tallystick from "../../ignition/modules/tallystick.ts";
import tallystickDrand from "../../ignition/modules/tallystick-drand.ts";
import tallystickPrevrandao from "../../ignition/modules/tallystick-prevrandao.ts";
import { type Deployment, parseDeployment } from "../../offchain/chain/deployment.ts";
import { headerOf, recordIdOf } from "../../offchain/chain/ledger.ts";
import { KeyLedger__factory } from "../../offchain/chain/types/factories/KeyLedger__factory.ts";
import { NodeRegistry__factory } from "../../offchain/chain/types/factories/NodeRegistry__factory.ts";
import { OwnersPolicy__factory } from "../../offchain/chain/types/factories/policies/OwnersPolicy__factory.ts";
import { StorageEscrow__factory } from "../../offchain/chain/types/factories/StorageEscrow__factory.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { drandKeyForChain } from "../../offchain/core/randomness/drand.ts";
import { QUICKNET as PRODUCT_QUICKNET } from "../../offchain/core/randomness/quicknet.ts";
import { startAnvil } from "../helpers/anvil.ts";
import { deployTo } from "../helpers/contracts.ts";
import { QUICKNET, testNetwork } from "../helpers/drand.ts";
import { signRecord, someRecord, walletOf } from "../helpers/ledger-records.ts";
import { failure } from "../helpers/promises.ts";

/** Reads numbers as Ignition does: "5n" is a bigint. */
function parametersOf(file: string): Required<DeployParameters> {
  const json = JSON.parse(
    readFileSync(new URL(`../../ignition/parameters/${file}.json`, import.meta.url), "utf8"),
    (_, value) => (typeof value === "string" && /^\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value),
  ) as { Tallystick: Required<DeployParameters> };
  return json.Tallystick;
}

describe("the Ignition module on Hardhat's network", () => {
  let connection: NetworkConnection;

  beforeEach(async () => {
    connection = await hre.network.create();
  });
  afterEach(() => connection.close());

  it("deploys all eight contracts, with code at each address", async () => {
    const deployed = await deployTallystick(connection);
    const addresses = Object.values(deployed.contracts);
    expect(new Set(addresses).size).to.equal(8);
    for (const address of addresses) expect(await connection.ethers.provider.getCode(address)).to.not.equal("0x");
    expect(deployed.deployedAtBlock).to.equal(1);
    const file: Deployment = {
      ...deployed,
      version: 1,
      rpcUrl: "http://127.0.0.1:8545",
      committeeId: "0",
      providers: [],
    };
    expect(parseDeployment(JSON.parse(JSON.stringify(file)))).to.deep.equal(file);
  });

  it("gives the ledger the registry, and the registry its parameters", async () => {
    const { contracts } = await deployTallystick(connection, { minStakeWei: 17n, exitDelaySeconds: 23n });
    const provider = connection.ethers.provider;
    expect(await KeyLedger__factory.connect(contracts.keyLedger, provider).REGISTRY()).to.equal(contracts.nodeRegistry);
    const registry = NodeRegistry__factory.connect(contracts.nodeRegistry, provider);
    expect(await registry.MIN_STAKE_WEI()).to.equal(17n);
    expect(await registry.EXIT_DELAY_SECONDS()).to.equal(23n);
  });

  it("gives the policy of owners the ledger and the directory", async () => {
    const { contracts } = await deployTallystick(connection);
    const policy = OwnersPolicy__factory.connect(contracts.ownersPolicy, connection.ethers.provider);
    expect(await policy.LEDGER()).to.equal(contracts.keyLedger);
    expect(await policy.DIRECTORY()).to.equal(contracts.accountDirectory);
  });

  it("gives the escrow of data sets its epochs", async () => {
    const { contracts } = await deployTallystick(connection, { epochBlocks: 50n, noticeEpochs: 4n });
    const escrow = StorageEscrow__factory.connect(contracts.storageEscrow, connection.ethers.provider);
    expect(await escrow.EPOCH_BLOCKS()).to.equal(50n);
    expect(await escrow.NOTICE_EPOCHS()).to.equal(4n);
  });

  for (const [file, module] of [
    ["local", tallystick],
    ["sepolia", tallystickPrevrandao],
    ["sepolia-drand", tallystickDrand],
  ] as const) {
    it(`deploys with ignition/parameters/${file}.json`, async () => {
      const path = new URL(`../../ignition/parameters/${file}.json`, import.meta.url).pathname;
      const deployed = await connection.ignition.deploy(module, { parameters: path });
      const { nodeRegistry, storageEscrow, randomness } = deployed;
      const registry = NodeRegistry__factory.connect(await nodeRegistry.getAddress(), connection.ethers.provider);
      const { minStakeWei, exitDelaySeconds, epochBlocks, noticeEpochs } = parametersOf(file);
      expect(await registry.MIN_STAKE_WEI())
        .to.equal(minStakeWei)
        .and.to.be.greaterThan(0n);
      expect(await registry.EXIT_DELAY_SECONDS())
        .to.equal(exitDelaySeconds)
        .and.to.be.greaterThan(0n);
      const escrow = StorageEscrow__factory.connect(await storageEscrow.getAddress(), connection.ethers.provider);
      expect(await escrow.EPOCH_BLOCKS()).to.equal(epochBlocks);
      expect(await escrow.NOTICE_EPOCHS()).to.equal(noticeEpochs);
      // The escrow takes no set with a source whose grid does not divide an epoch.
      expect(epochBlocks % BigInt(await randomness.getFunction("gridBlocks")())).to.equal(0n);
      if (module !== tallystickDrand) return;
      // Longer than the blocks of two beacon epochs, which can still be replaced.
      expect(await randomness.getFunction("MARGIN_SECONDS")()).to.be.at.least(2n * 32n * 12n);
    });
  }

  it("deploys the source of randomness of each kind, and describes it for the deployment file", async () => {
    const network = testNetwork("of the module");
    const ring = { gridBlocks: 60n, ringSize: 137n };
    const relays = ["https://relay.example"];
    const plans: [RandomnessPlan, string, unknown][] = [
      [{ kind: "block" }, "BlockRandomness", { kind: "block" }],
      [{ kind: "prevrandao", ...ring }, "PrevrandaoRandomness", { kind: "prevrandao" }],
      [
        { kind: "drand", network, relays, ...ring },
        "DrandRandomness",
        { kind: "drand", chainHash: network.chainHash, relays },
      ],
    ];
    for (const [plan, name, described] of plans) {
      const { contracts, randomness } = await deployTallystick(connection, {}, plan);
      expect(randomness).to.deep.equal(described);
      const source = await connection.ethers.getContractAt(name, contracts.randomness);
      expect(await source.getFunction("gridBlocks")()).to.equal(plan.kind === "block" ? 1n : 60n);
      if (plan.kind !== "drand") continue;
      expect(await source.getFunction("publicKey")()).to.equal(toHex(drandKeyForChain(network.publicKey)));
      expect(await source.getFunction("GENESIS_TIME")()).to.equal(network.genesisTime);
      expect(await source.getFunction("PERIOD_SECONDS")()).to.equal(network.periodSeconds);
      expect(await source.getFunction("MARGIN_SECONDS")()).to.equal(network.marginSeconds);
    }
  });

  it("takes quicknet for a drand network that its parameters do not name", async () => {
    const { randomness } = await connection.ignition.deploy(tallystickDrand);
    expect(await randomness.getFunction("publicKey")()).to.equal(toHex(drandKeyForChain(QUICKNET.publicKey)));
    // Two copies of the network's facts, written down apart.
    const { marginSeconds: _, ...expected } = QUICKNET;
    expect(PRODUCT_QUICKNET).to.deep.equal(expected);
    expect(await randomness.getFunction("GENESIS_TIME")()).to.equal(QUICKNET.genesisTime);
  });

  it("does not deploy a registry that would lock stakes for more than a year", async () => {
    const error = await failure(deployTallystick(connection, { exitDelaySeconds: 366n * 86_400n }));
    expect(String(error)).to.include("ExitDelayTooLong");
  });

  it("makes a ledger that takes records signed with the shared typed data", async () => {
    const deployed = await deployTallystick(connection, { minStakeWei: 1n });
    const deployment: Deployment = { ...deployed, version: 1, rpcUrl: "http://x", committeeId: "1", providers: [] };
    const [operator] = await connection.ethers.getSigners();
    if (operator === undefined) throw new Error("no accounts");
    const registry = NodeRegistry__factory.connect(deployed.contracts.nodeRegistry, operator);
    const share = toBeHex(7, 32);
    await (await registry.registerNode("http://node", share, { value: 1n })).wait();
    await (await registry.createCommittee([operator.address], 1)).wait();
    const keys = { oprfPublicKey: share, recordPublicKey: share, oprfShares: [share], recordShares: [share] };
    await (await registry.attestGeneration(1n, 1, keys)).wait();

    const alice: Wallet = walletOf(1);
    const time = (await connection.ethers.provider.getBlock("latest"))?.timestamp ?? 0;
    const signed = await signRecord(deployment, alice, someRecord(alice.address, BigInt(time)));
    const ledger = KeyLedger__factory.connect(deployed.contracts.keyLedger, operator);
    await (await ledger.record(signed.record, signed.deadline, signed.signature)).wait();
    expect(await ledger.recordedAt(recordIdOf(headerOf(signed.record)))).to.be.greaterThan(0n);
  });
});

describe("the build that Ignition deploys to public networks", () => {
  it("has the compiler and the settings of the one that is tested", () => {
    const { default: tested, production } = hre.config.solidity.profiles;
    const [compilers, deployed] = [tested?.compilers, production?.compilers];
    expect(compilers).to.have.length(1);
    expect(deployed).to.deep.equal(compilers);
    expect(deployed?.[0]?.settings).to.deep.include({ evmVersion: "prague", viaIR: true });
  });
});

describe("the Ignition module on anvil", () => {
  it("deploys the same code as on Hardhat's network", async () => {
    const anvil = await startAnvil();
    const connection = await hre.network.create();
    try {
      const there = await deployTo(anvil.url);
      const here = await deployTallystick(connection);
      // The ledger holds its own address and its registry's, which are the same because the accounts' addresses are
      // not.
      for (const name of [
        "nodeRegistry",
        "storageEscrow",
        "possessionVerifier",
        "randomness",
        "accountDirectory",
        "recoveryPolicy",
      ] as const) {
        expect(await anvil.rpc("eth_getCode", [there.contracts[name], "latest"]), name).to.equal(
          await connection.ethers.provider.getCode(here.contracts[name]),
        );
      }
    } finally {
      await connection.close();
      await anvil.kill();
    }
  });
});
