import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { Contract, ContractFactory, concat, JsonRpcProvider, type Signer, solidityPacked } from "ethers";
import hre from "hardhat";
import { type AuditChallenge, expandChallenge } from "../../offchain/core/audit/challenge.ts";
import { addG1, clearCofactor, decodeG1, encodeG1ForChain, negateG1 } from "../../offchain/core/audit/curve.ts";
import { FIELD_ORDER } from "../../offchain/core/audit/field.ts";
import { auditKeyHash, keyForChain } from "../../offchain/core/audit/keys.ts";
import { type ChainProof, proofForChain } from "../../offchain/core/audit/proof.ts";
import { proveAudit } from "../../offchain/core/audit/prover.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { type Forgery, makeForgeries, makeNegatedBatch, makeTranscriptForgeries } from "../helpers/audit-forgeries.ts";
import { hex } from "../helpers/audit-oracle.ts";
import {
  type AuditKeys,
  MEBIBYTE_SLICES,
  patternBytes,
  proveWithSecrets,
  SET_SLICE_BYTES,
  type StoredSet,
  sparseSlice,
  storeSet,
  TEBIBYTE_SLICES,
  testKeys,
} from "../helpers/audit-set.ts";
import { endProcess, freePort } from "../helpers/local-chain.ts";

const SEED = new Uint8Array(32).fill(0x5e);
const CHALLENGE: AuditChallenge = { seed: SEED, sampleCount: 3, ranges: [{ firstIndex: 1, count: 9 }] };
/** Malformed points make a precompile consume all gas it is given. */
const CALL = { gasLimit: 3_000_000 };

interface TestChain {
  readonly signer: Signer;
  stop(): Promise<void>;
}

async function hardhatChain(): Promise<TestChain> {
  const connection = await hre.network.create();
  const [signer] = await connection.ethers.getSigners();
  if (signer === undefined) throw new Error("the network has no accounts");
  return { signer: signer as unknown as Signer, stop: () => connection.close() };
}

async function anvilChain(): Promise<TestChain> {
  const port = await freePort();
  const binary = fileURLToPath(new URL("../../node_modules/.bin/anvil", import.meta.url));
  const anvil: ChildProcess = spawn(binary, ["--port", String(port), "--hardfork", "prague"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  anvil.stdout?.on("data", (part: Buffer) => {
    output += part.toString();
  });
  while (!output.includes("Listening on")) {
    if (anvil.exitCode !== null) throw new Error(`anvil ended with ${anvil.exitCode}: ${output}`);
    if (anvil.stdout !== null) await once(anvil.stdout, "data");
  }
  const provider = new JsonRpcProvider(`http://127.0.0.1:${port}`, undefined, { cacheTimeout: -1 });
  return {
    signer: await provider.getSigner(0),
    stop: async () => {
      provider.destroy();
      await endProcess(anvil);
    },
  };
}

/** What a contract call takes: a changed copy is a tampered one. */
interface Call {
  challenge: { seed: string; ranges: string; sampleCount: number };
  key: { X: string; XA: string; XB: string };
  proof: ChainProof;
}

/** Ranges as a contract takes them, also ones that the protocol does not have. */
function packed(...ranges: [number, number][]): string {
  return concat(ranges.map((range) => solidityPacked(["uint48", "uint48"], range)));
}

function forChain({ seed, ranges, sampleCount }: AuditChallenge): Call["challenge"] {
  const numbers = ranges.map(({ firstIndex, count }): [number, number] => [firstIndex, count]);
  return { seed: hex(seed), ranges: packed(...numbers), sampleCount };
}

function flipped(bytes: string, position = bytes.length - 1): string {
  const digit = (Number.parseInt(bytes[position] ?? "0", 16) ^ 1).toString(16);
  return bytes.slice(0, position) + digit + bytes.slice(position + 1);
}

for (const [chainName, start] of [
  ["Hardhat's network", hardhatChain],
  ["anvil", anvilChain],
] as const) {
  describe(`PdpVerifier on ${chainName}`, () => {
    let chain: TestChain;
    let harness: Contract;
    let keys: AuditKeys;
    let set: StoredSet;
    let honest: Call;

    const callFor = (challenge: AuditChallenge, proof: ChainProof): Call => ({
      challenge: forChain(challenge),
      key: keyForChain(keys.publicKey),
      proof,
    });
    const verify = async ({ challenge, key, proof }: Call): Promise<boolean> =>
      await harness.getFunction("verify").staticCall(challenge, key, proof, CALL);
    const measure = async ({ challenge, key, proof }: Call): Promise<number> => {
      const [valid, gasUsed] = await harness.getFunction("measure").staticCall(challenge, key, proof, CALL);
      expect(valid).to.equal(true);
      return Number(gasUsed);
    };

    before(async () => {
      await auditReady();
      chain = await start();
      const { abi, bytecode } = await hre.artifacts.readArtifact("PdpVerifierHarness");
      const deployed = await new ContractFactory(abi, bytecode, chain.signer).deploy();
      await deployed.waitForDeployment();
      harness = new Contract(await deployed.getAddress(), abi, chain.signer);
      keys = testKeys();
      set = storeSet(keys, patternBytes(2 ** 20, 5));
      const challenge = { seed: SEED, sampleCount: 30, ranges: [{ firstIndex: 1, count: MEBIBYTE_SLICES }] };
      honest = callFor(challenge, proofForChain(await proveAudit(challenge, set.source, { key: keys.publicKey })));
    });

    after(async () => {
      await chain.stop();
    });

    it("accepts a proof made from stored data, by call and by transaction", async () => {
      expect(await verify(honest)).to.equal(true);
      const sent = await harness.getFunction("check").send(honest.challenge, honest.key, honest.proof);
      const receipt = await sent.wait();
      const [log = { topics: [], data: "" }] = receipt?.logs ?? [];
      expect(harness.interface.parseLog(log)?.args.toArray()).to.deep.equal([honest.challenge.seed]);
    });

    it("hashes keys as the agent does", async () => {
      expect(await harness.getFunction("hashKey").staticCall(honest.key)).to.equal(hex(auditKeyHash(keys.publicKey)));
    });

    it("rejects a proof made after a sampled slice was damaged", async () => {
      const challenge = { seed: SEED, sampleCount: 30, ranges: [{ firstIndex: 1, count: MEBIBYTE_SLICES }] };
      const [drawn = 1] = expandChallenge(challenge).indices;
      const readSlice = async (index: number) => {
        const slice = (await set.source.readSlice(index)).slice();
        if (index === drawn) slice[12_345] = (slice[12_345] ?? 0) ^ 0x40;
        return slice;
      };
      const proof = await proveAudit(challenge, { ...set.source, readSlice }, { key: keys.publicKey });
      expect(await verify(callFor(challenge, proofForChain(proof)))).to.equal(false);
    });

    it("rejects every tampering, one by one", async () => {
      const { challenge, key, proof } = honest;
      const outside = decodeG1(
        Uint8Array.from({ length: 48 }, (_, k) => (k === 0 ? 0x80 : k === 47 ? 4 : 0)),
        "outside",
      );
      const torsion = addG1(outside, negateG1(clearCofactor(outside)));
      const sigma = decodeG1((await proveAuditAgain()).sigma, "σ");
      const zeros = (bytes: number) => `0x${"00".repeat(bytes)}`;
      const withProof = (change: Partial<ChainProof>): Call => ({ ...honest, proof: { ...proof, ...change } });
      const withKey = (change: Partial<Call["key"]>): Call => ({ ...honest, key: { ...key, ...change } });
      const withChallenge = (change: Partial<Call["challenge"]>): Call => ({
        ...honest,
        challenge: { ...challenge, ...change },
      });
      const tampered: Record<string, Call> = {
        "σ off the curve": withProof({ sigma: flipped(proof.sigma) }),
        "σ another point": withProof({ sigma: proof.psi }),
        "σ outside the subgroup": withProof({ sigma: hex(encodeG1ForChain(addG1(sigma, torsion))) }),
        "σ the identity": withProof({ sigma: zeros(128) }),
        "σ not padded with zeros": withProof({ sigma: flipped(proof.sigma, 3) }),
        "σ too short": withProof({ sigma: proof.sigma.slice(0, -2) }),
        "σ too long": withProof({ sigma: `${proof.sigma}00` }),
        "ψ off the curve": withProof({ psi: flipped(proof.psi) }),
        "ψ another point": withProof({ psi: proof.sigma }),
        "ψ outside the subgroup": withProof({ psi: hex(encodeG1ForChain(outside)) }),
        "W another point": withProof({ W: proof.psi }),
        "W the identity": withProof({ W: zeros(128) }),
        "W outside the subgroup": withProof({ W: hex(encodeG1ForChain(outside)) }),
        "y plus one": withProof({ y: proof.y + 1n }),
        "y in its second encoding": withProof({ y: proof.y + FIELD_ORDER }),
        "X off the curve": withKey({ X: flipped(key.X) }),
        "X another point": withKey({ X: key.XA }),
        "XA another point": withKey({ XA: key.X }),
        "XB another point": withKey({ XB: key.X }),
        "XB the identity": withKey({ XB: zeros(256) }),
        "X the identity": withKey({ X: zeros(256) }),
        "X too short": withKey({ X: key.X.slice(0, -2) }),
        "key of another data set": { ...honest, key: keyForChain(testKeys(1, 3).publicKey) },
        "another seed": withChallenge({ seed: hex(new Uint8Array(32)) }),
        "first index 0": withChallenge({ ranges: packed([0, MEBIBYTE_SLICES]) }),
        "first index 2": withChallenge({ ranges: packed([2, MEBIBYTE_SLICES]) }),
        "one slice more": withChallenge({ ranges: packed([1, MEBIBYTE_SLICES + 1]) }),
        "one slice fewer": withChallenge({ ranges: packed([1, MEBIBYTE_SLICES - 1]) }),
        "the same slices in two ranges": withChallenge({ ranges: packed([1, 4], [5, MEBIBYTE_SLICES - 4]) }),
        "overlapping ranges": withChallenge({ ranges: packed([1, MEBIBYTE_SLICES], [2, 1]) }),
        "no slices": withChallenge({ ranges: packed([1, 0]) }),
        "no ranges": withChallenge({ ranges: "0x" }),
        "one sample more": withChallenge({ sampleCount: 31 }),
        "no samples": withChallenge({ sampleCount: 0 }),
      };
      for (const [name, call] of Object.entries(tampered)) expect(await verify(call), name).to.equal(false);
      expect(await verify(honest)).to.equal(true);
    });

    it("rejects forgeries that one rule alone stands against", async () => {
      const challenge = { seed: SEED, sampleCount: 30, ranges: [{ firstIndex: 1, count: MEBIBYTE_SLICES }] };
      for (const { name, challenge: asked, key, proof } of makeForgeries(keys, challenge, sparseSlice)) {
        const call = { ...callFor(asked, proofForChain(proof)), key: keyForChain(key) };
        expect(await verify(call), name).to.equal(false);
      }
    });

    describe("of batches", () => {
      const verifyMany = async (calls: readonly Call[]): Promise<boolean> =>
        await harness.getFunction("verifyMany").staticCall(
          calls.map((call) => call.challenge),
          calls.map((call) => call.key),
          calls.map((call) => call.proof),
          { gasLimit: 12_000_000 },
        );
      const callsOf = (sets: readonly Omit<Forgery, "name">[]): Call[] =>
        sets.map(({ challenge, key, proof }) => ({
          ...callFor(challenge, proofForChain(proof)),
          key: keyForChain(key),
        }));

      it("accepts proofs of several owners, and none when one is bad", async () => {
        const calls = [testKeys(1, 3), testKeys(2, 2), testKeys(3, 9)].map((owner, k) => {
          const challenge = { seed: SEED, sampleCount: 2 + k, ranges: [{ firstIndex: 1 + k, count: 50 }] };
          const proof = proofForChain(proveWithSecrets(owner, challenge, sparseSlice));
          return { challenge: forChain(challenge), key: keyForChain(owner.publicKey), proof };
        });
        expect(await verifyMany(calls)).to.equal(true);
        for (const bad of calls.keys()) {
          const changed = calls.map((call, k) =>
            k === bad ? { ...call, key: { ...call.key, XB: call.key.XA } } : call,
          );
          expect(await verifyMany(changed)).to.equal(false);
        }
      });

      it("rejects a second set under the negated key, without data", async () => {
        const [first, second] = callsOf(makeNegatedBatch(keys, { ...CHALLENGE, sampleCount: 3 }).sets);
        if (first === undefined || second === undefined) throw new Error("no batch");
        expect(await verifyMany([first, second])).to.equal(false);
        expect(await verifyMany([second, first])).to.equal(false);
      });

      it("rejects points that were chosen after weights from a part of the transcript", async () => {
        for (const { name, sets } of makeTranscriptForgeries([keys, testKeys(2, 2)], CHALLENGE)) {
          expect(await verifyMany(callsOf(sets)), name).to.equal(false);
        }
      });
    });

    const proveAuditAgain = () =>
      proveAudit({ seed: SEED, sampleCount: 30, ranges: [{ firstIndex: 1, count: MEBIBYTE_SLICES }] }, set.source, {});

    it("accepts a set that begins at a later index", async () => {
      const later = storeSet(keys, patternBytes(3 * SET_SLICE_BYTES, 6), 1000);
      const challenge = { seed: SEED, sampleCount: 12, ranges: [{ firstIndex: 1000, count: 3 }] };
      const proof = proofForChain(await proveAudit(challenge, later.source, { key: keys.publicKey }));
      expect(await verify(callFor(challenge, proof))).to.equal(true);
      const moved = { ...challenge, ranges: [{ firstIndex: 999, count: 3 }] };
      expect(await verify(callFor(moved, proof))).to.equal(false);
    });

    for (const [size, sliceCount] of [
      ["1 MiB", MEBIBYTE_SLICES],
      ["1 TiB", TEBIBYTE_SLICES],
    ] as const) {
      it(`costs at most 290,000 gas at 30 samples and 430,000 at 460, for ${size}`, async () => {
        for (const [sampleCount, limit] of [
          [30, 290_000],
          [460, 430_000],
        ] as const) {
          const challenge = { seed: SEED, sampleCount, ranges: [{ firstIndex: 1, count: sliceCount }] };
          const call = callFor(challenge, proofForChain(proveWithSecrets(keys, challenge, sparseSlice)));
          expect(await measure(call)).to.be.at.most(limit);
          const sent = await harness.getFunction("check").send(call.challenge, call.key, call.proof);
          // The whole transaction, with its base price and call data, stays below the same limit.
          expect(Number((await sent.wait())?.gasUsed)).to.be.at.most(limit);
        }
      });
    }
  });
}
