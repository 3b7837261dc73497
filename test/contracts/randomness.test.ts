import { bls12_381 } from "@noble/curves/bls12-381.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { hexToBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import { Contract, ContractFactory, JsonRpcProvider, keccak256, type Signer } from "ethers";
import hre from "hardhat";
import { encodeBlockHeader } from "../../offchain/chain/block-header.ts";
import type { ChainReader } from "../../offchain/chain/deployment.ts";
import { openProvider } from "../../offchain/chain/endpoint.ts";
import {
  type EvidenceSource,
  randomnessEvidence,
  readBlockHeader,
  readDrandNetwork,
  readRandomness,
  recordRandomnessCall,
} from "../../offchain/chain/randomness.ts";
import { decodeRevert } from "../../offchain/chain/revert.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { u64be } from "../../offchain/core/encoding/integers.ts";
import { checkDrandSignature, drandKeyForChain, drandRoundAt } from "../../offchain/core/randomness/drand.ts";
import { DrandRelays } from "../../offchain/http/drand-relays.ts";
import { startAnvil } from "../helpers/anvil.ts";
import {
  hashRound,
  QUICKNET,
  QUICKNET_ROUND,
  QUICKNET_SIGNATURE,
  startRelay,
  type TestNetwork,
  type TestRelay,
  testNetwork,
} from "../helpers/drand.ts";
import { HISTORY, HISTORY_CODE } from "../helpers/history-contract.ts";
import { failure } from "../helpers/promises.ts";
import { rejection } from "../helpers/rejection.ts";
import headers from "../vectors/block-headers.json" with { type: "json" };
import vectors from "../vectors/randomness.json" with { type: "json" };

/** A malformed point makes a precompile consume all gas it is given. */
const CALL = { gasLimit: 3_000_000 };
const MARGIN_SECONDS = 30n;

interface TestChain {
  readonly chain: ChainReader;
  readonly signer: Signer;
  /** What the names of the client's own methods begin with. */
  readonly methods: "hardhat" | "anvil";
  stop(): Promise<void>;
}

/** The part of a reader that these calls use. */
function readerOf(provider: JsonRpcProvider): ChainReader {
  const nowhere = `0x${"0".repeat(40)}`;
  const contracts = {
    nodeRegistry: nowhere,
    keyLedger: nowhere,
    storageEscrow: nowhere,
    possessionVerifier: nowhere,
    randomness: nowhere,
    ownersPolicy: nowhere,
    recoveryPolicy: nowhere,
    accountDirectory: nowhere,
  };
  const deployment = {
    version: 1 as const,
    chainId: 31_337,
    rpcUrl: "http://127.0.0.1",
    contracts,
    deployedAtBlock: 0,
    committeeId: "0",
    providers: [],
  };
  return { deployment, provider, close: () => provider.destroy() };
}

async function hardhatChain(): Promise<TestChain> {
  const server = await hre.network.createServer();
  const { address, port } = await server.listen();
  const provider = openProvider(`http://${address}:${port}`, 31_337n);
  return {
    chain: readerOf(provider),
    signer: await provider.getSigner(0),
    methods: "hardhat",
    stop: async () => {
      provider.destroy();
      await server.close();
    },
  };
}

async function anvilChain(): Promise<TestChain> {
  const anvil = await startAnvil();
  const provider = new JsonRpcProvider(anvil.url, 31_337, { staticNetwork: true, cacheTimeout: -1 });
  return {
    chain: readerOf(provider),
    signer: await provider.getSigner(0),
    methods: "anvil",
    stop: async () => {
      provider.destroy();
      await anvil.kill();
    },
  };
}

for (const [chainName, start] of [
  ["Hardhat's network", hardhatChain],
  ["anvil", anvilChain],
] as const) {
  describe(`sources of randomness on ${chainName}`, () => {
    let test: TestChain;
    let harness: Contract;
    let prevrandao: Contract;
    let drand: Contract;
    let network: TestNetwork;
    let relay: TestRelay;

    const deploy = async (name: string, ...args: unknown[]): Promise<Contract> => {
      const { abi, bytecode } = await hre.artifacts.readArtifact(name);
      const deployed = await new ContractFactory(abi, bytecode, test.signer).deploy(...args);
      await deployed.waitForDeployment();
      return new Contract(await deployed.getAddress(), abi, test.signer);
    };
    const drandSource = async (of: typeof QUICKNET): Promise<Contract> =>
      await deploy(
        "DrandRandomness",
        {
          publicKey: toHex(drandKeyForChain(of.publicKey)),
          genesisTime: of.genesisTime,
          periodSeconds: of.periodSeconds,
          marginSeconds: of.marginSeconds,
        },
        1,
        8191,
      );
    const revertOf = async (call: Promise<unknown>): Promise<{ name: string; args: object }> => {
      const { data } = (await failure(call)) as { data?: string };
      return decodeRevert(data ?? "0x");
    };
    const head = async (): Promise<bigint> => BigInt(await test.chain.provider.getBlockNumber());
    const mine = async (blocks: number): Promise<void> => {
      await test.chain.provider.send(`${test.methods}_mine`, [`0x${blocks.toString(16)}`]);
    };
    const send = async (source: Contract, blockNumber: bigint, evidence: Uint8Array): Promise<number> => {
      const { description: _description, ...call } = recordRandomnessCall(
        await source.getAddress(),
        blockNumber,
        evidence,
      );
      const receipt = await (await test.signer.sendTransaction({ ...call, ...CALL })).wait();
      return Number(receipt?.gasUsed);
    };
    const recordedAt = async (source: Contract, blockNumber: bigint): Promise<Uint8Array | undefined> =>
      await readRandomness(test.chain, await source.getAddress(), blockNumber);

    before(async () => {
      test = await start();
      network = testNetwork("on chain", { genesisTime: 1_600_000_000n, marginSeconds: MARGIN_SECONDS });
      relay = await startRelay(network);
      harness = await deploy("RandomnessHarness");
      prevrandao = await deploy("PrevrandaoRandomness", 1, 8191);
      drand = await drandSource(network);
    });
    after(async () => {
      relay.close();
      await test.stop();
    });

    const sources = async (): Promise<[string, Contract, EvidenceSource][]> => {
      // The relay has the rounds of the future, so the test need not wait for them.
      const signatures = new DrandRelays([relay.url], { now: () => 1e11 });
      const known = await readDrandNetwork(test.chain, await drand.getAddress(), network.chainHash);
      return [
        ["block", await deploy("BlockRandomness"), { kind: "block" }],
        ["prevrandao", prevrandao, { kind: "prevrandao" }],
        ["drand", drand, { kind: "drand", network: known, signatures }],
      ];
    };

    it("record what the chain and the relay give as evidence, once and for all", async () => {
      await mine(2);
      for (const [kind, source, evidenceSource] of await sources()) {
        const blockNumber = (await head()) - 1n;
        if (kind !== "block") expect(await recordedAt(source, blockNumber), kind).to.equal(undefined);
        const evidence = await randomnessEvidence(test.chain, evidenceSource, blockNumber);
        await send(source, blockNumber, evidence);
        const value = await recordedAt(source, blockNumber);
        expect(value, kind).to.have.length(32);
        await send(source, blockNumber, new Uint8Array(0));
        expect(await recordedAt(source, blockNumber), kind).to.deep.equal(value);
      }
    });

    it("read the network of a drand source from the contract", async () => {
      const known = await readDrandNetwork(test.chain, await drand.getAddress(), network.chainHash);
      const { sign: _sign, ...expected } = network;
      expect(known).to.deep.equal(expected);
      const { timestamp } = await readBlockHeader(test.chain, await head());
      expect(await drand.getFunction("roundAt")(timestamp)).to.equal(drandRoundAt(known, timestamp));
    });

    it("take headers as this client encodes them, also of blocks with transactions", async () => {
      await (await test.signer.sendTransaction({ to: await test.signer.getAddress(), value: 1n })).wait();
      await mine(1);
      const until = await head();
      for (let number = 0n; number <= until; number++) {
        const header = await readBlockHeader(test.chain, number);
        const [timestamp, mixHash] = await harness.getFunction("readHeader")(toHex(header.encoded));
        const block = await test.chain.provider.send("eth_getBlockByNumber", [`0x${number.toString(16)}`, false]);
        expect([timestamp, mixHash]).to.deep.equal([BigInt(block.timestamp), block.mixHash]);
      }
    });

    it("read headers of Ethereum's mainnet", async () => {
      for (const { name, block } of headers.blocks) {
        const header = toHex(encodeBlockHeader(block).encoded);
        const [timestamp, mixHash] = await harness.getFunction("readHeader")(header);
        expect([timestamp, mixHash], name).to.deep.equal([BigInt(block.timestamp), block.mixHash]);
      }
    });

    it("have no evidence for a block that is not mined", async () => {
      const error = await rejection(randomnessEvidence(test.chain, { kind: "prevrandao" }, (await head()) + 5n));
      expect([error.code, error.party, error.retryable]).to.deep.equal(["NOT_FOUND", "chain", true]);
    });

    it("return the values of the vectors, which were derived independently", async () => {
      const quicknet = await drandSource(QUICKNET);
      // BLOCKHASH does not reach the blocks any more, so the contract of EIP-2935 is asked.
      await mine(300);
      await test.chain.provider.send(`${test.methods}_setCode`, [HISTORY, HISTORY_CODE]);
      for (const { kind, blockNumber, header, evidence, randomness } of vectors.sources) {
        const source = kind === "drand" ? quicknet : prevrandao;
        const slot = `0x${(BigInt(blockNumber) % 8191n).toString(16)}`;
        await test.chain.provider.send(`${test.methods}_setStorageAt`, [HISTORY, slot, keccak256(header)]);
        await send(source, BigInt(blockNumber), fromHex(evidence));
        expect(toHex((await recordedAt(source, BigInt(blockNumber))) ?? new Uint8Array()), kind).to.equal(randomness);
      }
    });

    it("accept signatures of several keys for their rounds, and no others", async () => {
      const verify = async (round: bigint, signature: Uint8Array, key: Uint8Array): Promise<unknown> =>
        await harness.getFunction("requireValid").staticCall(round, toHex(signature), toHex(key), CALL);
      for (const name of ["first", "second", "third"]) {
        const { publicKey, sign, ...rest } = testNetwork(name);
        const key = drandKeyForChain(publicKey);
        for (const round of [1n, 77n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
          const signature = checkDrandSignature({ ...rest, publicKey }, round, sign(round), "test");
          await verify(round, signature, key);
          const another = round ^ 1n;
          expect(await revertOf(verify(another, signature, key))).to.deep.include({
            name: "WrongSignature",
            args: { round: another },
          });
        }
        const signature = checkDrandSignature({ ...rest, publicKey }, 5n, sign(5n), "test");
        const other = drandKeyForChain(testNetwork("another").publicKey);
        expect((await revertOf(verify(5n, signature, other))).name).to.equal("WrongSignature");
      }
      const signature = checkDrandSignature(QUICKNET, QUICKNET_ROUND, QUICKNET_SIGNATURE, "test");
      await verify(QUICKNET_ROUND, signature, drandKeyForChain(QUICKNET.publicKey));
      const broken = signature.slice();
      broken[127] = (broken[127] ?? 0) ^ 1;
      expect(await revertOf(verify(QUICKNET_ROUND, broken, drandKeyForChain(QUICKNET.publicKey)))).to.deep.include({
        name: "MalformedSignature",
        args: { signature: toHex(broken) },
      });
    });

    it("hash to the curve as RFC 9380 and another library do", async () => {
      for (const round of [0n, 1n, QUICKNET_ROUND, 2n ** 64n - 1n]) {
        const { x, y } = hashRound(round).toAffine();
        const words = [x, y].map((value) => value.toString(16).padStart(128, "0"));
        const point = await harness.getFunction("hashToG1")(toHex(sha256(u64be(round))));
        expect(point, String(round)).to.equal(`0x${words.join("")}`);
      }
    });

    it("know public keys from other bytes", async () => {
      const isKey = async (bytes: Uint8Array): Promise<boolean> =>
        await harness.getFunction("isPublicKey").staticCall(toHex(bytes), CALL);
      const key = drandKeyForChain(QUICKNET.publicKey);
      expect(await isKey(key)).to.equal(true);
      const outside = pointOutsideG2();
      const broken = key.slice();
      broken[255] = (broken[255] ?? 0) ^ 1;
      for (const bytes of [new Uint8Array(256), key.slice(1), broken, outside]) {
        expect(await isKey(bytes), toHex(bytes)).to.equal(false);
      }
    });

    it("cost less than 80,000 gas with prevrandao and 350,000 with drand, call data included", async () => {
      const figures: Record<string, number> = {};
      for (const [kind, source, evidenceSource] of await sources()) {
        if (kind === "block") continue;
        await mine(2);
        const blockNumber = (await head()) - 1n;
        const evidence = await randomnessEvidence(test.chain, evidenceSource, blockNumber);
        figures[kind] = await send(source, blockNumber, evidence);
      }
      expect(figures.prevrandao).to.be.at.most(80_000);
      expect(figures.drand).to.be.at.most(350_000);
    });
  });
}

/** A point of the curve of G2 that is not in the subgroup, in the EIP-2537 form. */
function pointOutsideG2(): Uint8Array {
  const { Fp2 } = bls12_381.fields;
  for (let c0 = 0n; ; c0++) {
    const x = Fp2.fromBigTuple([c0, 0n]);
    const right = Fp2.add(Fp2.mul(Fp2.sqr(x), x), Fp2.fromBigTuple([4n, 4n]));
    try {
      const y = Fp2.sqrt(right);
      const hex = [x.c0, x.c1, y.c0, y.c1].map((value) => value.toString(16).padStart(128, "0")).join("");
      return hexToBytes(hex);
    } catch {
      // Not a square: no point has this x.
    }
  }
}
