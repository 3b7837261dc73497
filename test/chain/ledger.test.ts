import { expect } from "chai";
import { hexlify, randomBytes } from "ethers";
import fc from "fast-check";
import { followArchived } from "../../offchain/chain/archived-events.ts";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import { type ChainReader, connectChain, type Deployment } from "../../offchain/chain/deployment.ts";
import {
  addOwnerCall,
  headerOf,
  isOwner,
  type KeyRecord,
  type LedgerEvent,
  readRecordedAt,
  recordCall,
  recordIdOf,
  recordManyCall,
  scanLedger,
  verifyArchivedRecord,
} from "../../offchain/chain/ledger.ts";
import type { ScanCursor } from "../../offchain/chain/logs.ts";
import { attestGenerationCall, createCommitteeCall, registerNodeCall } from "../../offchain/chain/registry.ts";
import { ChainRevertedError } from "../../offchain/chain/revert.ts";
import { TransactionSender } from "../../offchain/chain/sender.ts";
import { KeyLedger__factory } from "../../offchain/chain/types/factories/KeyLedger__factory.ts";
import { IntegrityError } from "../../offchain/core/errors.ts";
import { type Anvil, anvilKey, type FaultyProxy, startAnvil, startFaultyProxy } from "../helpers/anvil.ts";
import { deployTo } from "../helpers/contracts.ts";
import { keyMaterial } from "../helpers/key-material.ts";
import { signBatch, signOwnerAddition, signRecord, someRecord, walletOf } from "../helpers/ledger-records.ts";
import { collect, failure, until } from "../helpers/promises.ts";

const KEY = new Uint8Array(32).fill(1);
const STAKE_WEI = 10n ** 18n;

describe("key ledger on a chain", () => {
  let anvil: Anvil;
  let proxy: FaultyProxy;
  let deployment: Deployment;
  let chain: ChainReader;
  let relay: TransactionSender;
  let otherRelay: TransactionSender;
  let snapshot: unknown;
  const alice = walletOf(1);
  const bob = walletOf(2);
  const file = walletOf(3);

  before(async () => {
    anvil = await startAnvil();
    deployment = await deployTo(anvil.url);
    proxy = await startFaultyProxy(anvil.url);
    chain = await connectChain(deployment, { rpcUrl: proxy.url });
    newRelays();
    await relay.send(registerNodeCall(deployment, { url: "http://node", hpkePublicKey: KEY, stakeWei: STAKE_WEI }));
    await relay.send(createCommitteeCall(deployment, [relay.address], 1));
    await relay.send(attestGenerationCall(deployment, 1n, 1, keyMaterial(KEY, [KEY])));
  });
  after(async () => {
    chain.close();
    await proxy.close();
    await anvil.kill();
  });
  beforeEach(async () => {
    snapshot = await anvil.rpc("evm_snapshot");
    newRelays();
  });
  afterEach(async () => {
    proxy.fault = () => undefined;
    await anvil.rpc("evm_setAutomine", [true]);
    await anvil.rpc("evm_revert", [snapshot]);
  });

  /** Senders without a past: one that sent before a revert would put what the revert dropped on the chain again. */
  function newRelays(): void {
    relay = new TransactionSender(chain, anvilKey(1), { retryDelayMs: 5 });
    otherRelay = new TransactionSender(chain, anvilKey(2), { retryDelayMs: 5 });
  }

  async function now(): Promise<bigint> {
    return BigInt((await chain.provider.getBlock("latest"))?.timestamp ?? 0);
  }

  /** Replaces the blocks after a snapshot by nothing, with transactions that nobody sends again. */
  async function revertTo(fork: unknown): Promise<void> {
    await anvil.rpc("evm_revert", [fork]);
    newRelays();
  }

  /** Signs and sends. */
  async function put(record: KeyRecord, signer = alice): Promise<void> {
    await relay.send(recordCall(deployment, await signRecord(deployment, signer, record)));
  }

  /** Decoded refusal of a call. */
  async function refusal(call: ContractCall): Promise<ChainRevertedError["revert"]> {
    const error = await failure(relay.send(call));
    expect(error).to.be.instanceOf(ChainRevertedError);
    return (error as ChainRevertedError).revert;
  }

  describe("hashes", () => {
    it("equal those of the contract for any header", async () => {
      const contract = KeyLedger__factory.connect(deployment.contracts.keyLedger, chain.provider);
      const hex = (size: number): fc.Arbitrary<string> =>
        fc.uint8Array({ minLength: size, maxLength: size }).map((bytes) => hexlify(bytes));
      const uint64 = fc.bigInt(0n, 2n ** 64n - 1n);
      const header = fc.record({
        account: hex(20),
        fileTag: hex(32),
        committeeId: uint64,
        keyTime: uint64,
        ownershipKey: hex(20),
        payloadHash: hex(32),
      });
      await fc.assert(
        fc.asyncProperty(header, async (fields) => {
          expect(recordIdOf(fields)).to.equal(await contract.recordIdOf(fields));
        }),
        { numRuns: 20 },
      );
    });
  });

  describe("recording", () => {
    it("keeps the time of a record that another account relays", async () => {
      const record = someRecord(alice.address, await now());
      const recordId = recordIdOf(headerOf(record));
      expect(await readRecordedAt(chain, recordId)).to.equal(undefined);
      await put(record);
      expect(await readRecordedAt(chain, recordId)).to.equal(await now());
    });

    it("stores a batch at once", async () => {
      const time = await now();
      const records = [1, 2, 3].map(() => someRecord(alice.address, time));
      const receipt = await relay.send(recordManyCall(deployment, await signBatch(deployment, alice, records)));
      expect(receipt.logs.length).to.equal(3);
      for (const record of records) {
        expect(await verifyArchivedRecord(chain, record, "node")).to.equal(recordIdOf(headerOf(record)));
      }
    });

    it("refuses replays, and takes another record of the same file in the same second", async () => {
      const record = someRecord(alice.address, await now());
      await put(record);
      const signed = await signRecord(deployment, alice, record);
      expect(await refusal(recordCall(deployment, signed))).to.deep.include({
        name: "AlreadyRecorded",
        args: { recordId: recordIdOf(headerOf(record)) },
      });
      const other = { ...record, payload: randomBytes(64) };
      await put(other);
      for (const each of [record, other]) await verifyArchivedRecord(chain, each, "node");
    });

    it("refuses key times of the future with the limit", async () => {
      const record = someRecord(alice.address, (await now()) + 1000n);
      const revert = await refusal(recordCall(deployment, await signRecord(deployment, alice, record)));
      expect(revert.name).to.equal("FutureKeyTime");
      expect(revert.args.received).to.equal(record.keyTime);
      expect(Number((revert.args.latestAllowed as bigint) - (await now()))).to.be.within(300, 310);
    });

    it("refuses expired deadlines, wrong signers and unknown committees", async () => {
      const time = await now();
      const record = someRecord(alice.address, time);
      const late = await refusal(recordCall(deployment, await signRecord(deployment, alice, record, time - 1n)));
      expect(late.name).to.equal("DeadlinePassed");
      expect(late.args.deadline).to.equal(time - 1n);
      expect(await refusal(recordCall(deployment, await signRecord(deployment, bob, record)))).to.deep.include({
        name: "InvalidSignature",
        args: { signer: alice.address },
      });
      const elsewhere = await signRecord(deployment, alice, { ...record, committeeId: 2n });
      expect(await refusal(recordCall(deployment, elsewhere))).to.deep.include({
        name: "UnknownCommittee",
        args: { id: 2n },
      });
      const otherChain = await signRecord({ ...deployment, chainId: 1 }, alice, record);
      expect((await refusal(recordCall(deployment, otherChain))).name).to.equal("InvalidSignature");
    });

    it("tells the slower of two relays why its transaction reverted in the block", async () => {
      await anvil.rpc("evm_setAutomine", [false]);
      const record = someRecord(alice.address, await now());
      const call = recordCall(deployment, await signRecord(deployment, alice, record));
      const outcomes = Promise.allSettled([relay.send(call), otherRelay.send(call)]);
      await until(
        "what the test waits for",
        async () => BigInt(((await anvil.rpc("txpool_status")) as { pending: string }).pending) === 2n,
      );
      await anvil.rpc("evm_mine");
      const settled = await outcomes;
      expect(settled.map(({ status }) => status)).to.have.members(["fulfilled", "rejected"]);
      const rejected = settled.find((outcome) => outcome.status === "rejected");
      const error = rejected?.reason as ChainRevertedError;
      expect(error).to.be.instanceOf(ChainRevertedError);
      expect(error.revert.name).to.equal("AlreadyRecorded");
      expect(error.details?.transactionHash).to.match(/^0x[0-9a-f]{64}$/);
    });
  });

  describe("owners", () => {
    it("are the recorder, and those who were added with the file's key", async () => {
      const record = someRecord(alice.address, await now(), { ownershipKey: file.address });
      expect(await isOwner(chain, headerOf(record), alice.address)).to.equal(false);
      await put(record);
      expect(await isOwner(chain, headerOf(record), alice.address.toLowerCase())).to.equal(true);
      expect(await isOwner(chain, headerOf(record), bob.address)).to.equal(false);
      await relay.send(addOwnerCall(deployment, await signOwnerAddition(deployment, record, file, bob, KEY)));
      expect(await isOwner(chain, headerOf(record), bob.address)).to.equal(true);
    });

    it("are refused without the file's key, with the signer that was missing", async () => {
      const record = someRecord(alice.address, await now(), { ownershipKey: file.address });
      await put(record);
      const without = await signOwnerAddition(deployment, record, bob, bob);
      expect(await refusal(addOwnerCall(deployment, without))).to.deep.include({
        name: "InvalidSignature",
        args: { signer: file.address },
      });
      const forged = await signOwnerAddition(deployment, { ...record, ownershipKey: bob.address }, bob, bob);
      expect(await refusal(addOwnerCall(deployment, forged))).to.deep.include({
        name: "UnknownRecord",
        args: { recordId: recordIdOf(forged.header) },
      });
      const unknown = await signOwnerAddition(deployment, someRecord(alice.address, 1n), file, bob);
      expect((await refusal(addOwnerCall(deployment, unknown))).name).to.equal("UnknownRecord");
      const long = await signOwnerAddition(deployment, record, file, bob, new Uint8Array(129));
      expect(await refusal(addOwnerCall(deployment, long))).to.deep.include({
        name: "NoteLength",
        args: { maximumBytes: 128n, receivedBytes: 129n },
      });
    });
  });

  describe("records from an archive", () => {
    it("are believed when they are the chain's, byte for byte, also when there is a newer one", async () => {
      const record = someRecord(alice.address, await now());
      await put(record);
      await put({ ...record, keyTime: record.keyTime + 1n });
      expect(await verifyArchivedRecord(chain, record, "node 0x1")).to.equal(recordIdOf(headerOf(record)));
    });

    it("are refused when a byte of them differs, with the archive's name", async () => {
      const record = someRecord(alice.address, await now());
      await put(record);
      const payload = record.payload.slice();
      payload[17] = (payload[17] ?? 0) ^ 1;
      const forgeries: KeyRecord[] = [
        { ...record, payload },
        { ...record, payload: record.payload.subarray(1) },
        { ...record, ownershipKey: bob.address },
        { ...record, committeeId: 2n },
        { ...record, keyTime: record.keyTime + 1n },
      ];
      for (const forged of forgeries) {
        const error = await failure(verifyArchivedRecord(chain, forged, "node 0x1"));
        expect(error).to.be.instanceOf(IntegrityError);
        expect(error).to.include({ party: "node 0x1", check: "record id" });
      }
    });

    it("are refused when the chain knows nothing of them", async () => {
      const error = await failure(verifyArchivedRecord(chain, someRecord(alice.address, 5n), "node 0x1"));
      expect(error).to.be.instanceOf(IntegrityError).and.to.include({ party: "node 0x1" });
    });
  });

  describe("events", () => {
    async function someHistory(): Promise<KeyRecord[]> {
      const records: KeyRecord[] = [];
      const time = await now();
      for (let i = 0; i < 7; i++) {
        const record = someRecord(alice.address, time, { ownershipKey: file.address, payload: randomBytes(i + 1) });
        await put(record);
        records.push(record);
        if (i % 2 === 0) await anvil.rpc("anvil_mine", ["0x3"]);
      }
      return records;
    }

    async function scanned(from: number, to: number, pageBlocks: number): Promise<LedgerEvent[]> {
      return collect(scanLedger(chain, from, to, { pageBlocks }));
    }

    it("carry the whole record and its place", async () => {
      const record = someRecord(alice.address, await now(), { ownershipKey: file.address });
      await put(record);
      await relay.send(addOwnerCall(deployment, await signOwnerAddition(deployment, record, file, bob, KEY)));
      const head = await chain.provider.getBlockNumber();
      const [recorded, added] = await scanned(head - 1, head, 10);
      const recordId = recordIdOf(headerOf(record));
      expect(recorded).to.deep.include({ kind: "KeyRecorded", recordId, record, blockNumber: head - 1, logIndex: 0 });
      expect(added).to.deep.include({
        kind: "OwnerAdded",
        recordId,
        fileTag: record.fileTag,
        owner: bob.address,
        note: KEY,
        blockNumber: head,
      });
      expect(added?.blockHash).to.equal((await chain.provider.getBlock(head))?.hash);
    });

    it("are the same whatever the size of the pages", async () => {
      const records = await someHistory();
      const head = await chain.provider.getBlockNumber();
      const whole = await scanned(0, head, 100_000);
      expect(whole.map((event) => event.kind === "KeyRecorded" && event.record)).to.deep.equal(records);
      for (const pageBlocks of [1, 2, 3, 7]) expect(await scanned(0, head, pageBlocks)).to.deep.equal(whole);
      expect(await scanned(head + 1, head, 10)).to.deep.equal([]);
    });

    it("are asked for in smaller pieces when the endpoint limits ranges", async () => {
      const records = await someHistory();
      const head = await chain.provider.getBlockNumber();
      const spans: number[] = [];
      proxy.fault = (method, params) => {
        if (method !== "eth_getLogs") return undefined;
        const { fromBlock, toBlock } = params[0] as { fromBlock: string; toBlock: string };
        const span = Number(toBlock) - Number(fromBlock) + 1;
        spans.push(span);
        return span > 5 ? { error: { code: -32_005, message: "query exceeds max block range" } } : undefined;
      };
      const events = await scanned(0, head, 1000);
      expect(events.length).to.equal(records.length);
      expect(spans.filter((span) => span <= 5).reduce((sum, span) => sum + span, 0)).to.equal(head + 1);
    });

    it("end with a typed error when not even one block can be read", async () => {
      proxy.fault = (method) =>
        method === "eth_getLogs" ? { error: { code: -32_000, message: "history is pruned" } } : undefined;
      const error = await failure(scanned(0, 3, 10));
      expect(error).to.include({ code: "CHAIN_UNAVAILABLE", received: "history is pruned" });
    });
  });

  describe("following", () => {
    /** An archive as `EventPage` asks for it: what a page covers is replaced by what it says. */
    class Archive {
      events: LedgerEvent[] = [];
      cursor: ScanCursor | undefined;
      pages: [number, number][] = [];

      async update(options: Parameters<typeof followArchived>[2] = {}): Promise<void> {
        this.pages = [];
        for await (const page of followArchived(chain, this.cursor, options)) {
          const keep = ({ blockNumber }: LedgerEvent): boolean =>
            blockNumber < page.fromBlock || (blockNumber > page.toBlock && !page.atHead);
          const ofLedger = page.events.filter((event) => event.kind !== "GenerationActivated");
          this.events = [...this.events.filter(keep), ...ofLedger];
          this.cursor = page.cursor;
          this.pages.push([page.fromBlock, page.toBlock]);
        }
      }

      tags(): string[] {
        return this.events.map((event) => (event.kind === "KeyRecorded" ? event.record.fileTag : event.fileTag));
      }
    }

    it("starts at the deployment and goes on where it stopped", async () => {
      const archive = new Archive();
      const first = someRecord(alice.address, await now());
      await put(first);
      await archive.update({ pageBlocks: 3 });
      const head = await chain.provider.getBlockNumber();
      expect(archive.pages[0]?.[0]).to.equal(deployment.deployedAtBlock);
      expect(archive.pages.at(-1)?.[1]).to.equal(head);
      expect(archive.tags()).to.deep.equal([first.fileTag]);

      await archive.update();
      expect(archive.pages).to.deep.equal([]);
      const second = someRecord(alice.address, await now());
      await put(second);
      await archive.update();
      expect(archive.pages).to.deep.equal([[head + 1, head + 1]]);
      expect(archive.tags()).to.deep.equal([first.fileTag, second.fileTag]);
    });

    it("forgets what a reorganisation took back, and only that", async () => {
      const archive = new Archive();
      const kept = someRecord(alice.address, await now());
      await put(kept);
      const fork = await anvil.rpc("evm_snapshot");
      const lost = someRecord(alice.address, await now());
      await put(lost);
      await archive.update();
      expect(archive.tags()).to.deep.equal([kept.fileTag, lost.fileTag]);

      await revertTo(fork);
      // Other blocks at the same heights, and more of them.
      await anvil.rpc("evm_increaseTime", [3]);
      const found = someRecord(bob.address, await now());
      await anvil.rpc("evm_mine");
      await put(found, bob);
      await archive.update();
      expect(archive.tags()).to.deep.equal([kept.fileTag, found.fileTag]);
    });

    it("forgets it also when the new chain is shorter, or has nothing in the replaced blocks", async () => {
      const archive = new Archive();
      const fork = await anvil.rpc("evm_snapshot");
      for (let i = 0; i < 4; i++) await put(someRecord(alice.address, await now()));
      await archive.update();
      expect(archive.events.length).to.equal(4);
      await revertTo(fork);
      await anvil.rpc("evm_increaseTime", [3]);
      await anvil.rpc("evm_mine");
      await archive.update();
      expect(archive.tags()).to.deep.equal([]);
      expect(archive.cursor?.blockNumber).to.equal(await chain.provider.getBlockNumber());
    });

    it("scans again no further back than it is told", async () => {
      const archive = new Archive();
      await anvil.rpc("anvil_mine", ["0x20"]);
      const fork = await anvil.rpc("evm_snapshot");
      await anvil.rpc("anvil_mine", ["0x2"]);
      await archive.update();
      const head = await chain.provider.getBlockNumber();
      await revertTo(fork);
      await anvil.rpc("evm_increaseTime", [3]);
      await anvil.rpc("anvil_mine", ["0x2"]);
      await archive.update({ overlapBlocks: 5 });
      expect(archive.pages).to.deep.equal([[head - 4, head]]);
    });

    it("keeps what it has when the head is further back than it may scan again", async () => {
      const archive = new Archive();
      const kept = someRecord(alice.address, await now());
      await put(kept);
      await anvil.rpc("anvil_mine", ["0x20"]);
      await archive.update();
      const { cursor } = archive;
      const head = cursor?.blockNumber ?? 0;
      const seeAt = async (block: number) => {
        // An endpoint that is not in sync and has dropped old logs.
        const newest = await anvil.rpc("eth_getBlockByNumber", [`0x${block.toString(16)}`, false]);
        proxy.fault = (method, [asked]) => {
          if (method === "eth_getLogs") return { result: [] };
          if (asked === "latest") return { result: newest };
          return method === "eth_getBlockByNumber" && Number(asked) > block ? { result: null } : undefined;
        };
      };
      for (const behind of [5, 20, head]) {
        await seeAt(head - behind);
        const error = await failure(archive.update({ overlapBlocks: 5 }));
        expect(error).to.include({ code: "CHAIN_UNAVAILABLE", retryable: true });
        expect(archive.tags()).to.deep.equal([kept.fileTag]);
        expect(archive.cursor).to.deep.equal(cursor);
      }
      await seeAt(head - 4);
      await archive.update({ overlapBlocks: 5 });
      expect(archive.pages).to.deep.equal([[head - 4, head - 4]]);
      expect(archive.tags()).to.deep.equal([kept.fileTag]);
    });

    it("asks once while no block comes, and three times for the next one", async () => {
      const archive = new Archive();
      await archive.update();
      const asked: string[] = [];
      proxy.fault = (method) => void asked.push(method);
      await archive.update();
      expect(asked.splice(0)).to.deep.equal(["eth_getBlockByNumber"]);
      await anvil.rpc("evm_mine");
      await archive.update();
      expect(asked).to.deep.equal(["eth_getBlockByNumber", "eth_getLogs", "eth_getBlockByNumber"]);
    });

    it("reads a page again whose last block was replaced while it was being read", async () => {
      const fork = await anvil.rpc("evm_snapshot");
      const lost = someRecord(alice.address, await now());
      await put(lost);
      let asked = 0;
      const replace = async (): Promise<undefined> => {
        await revertTo(fork);
        await anvil.rpc("evm_increaseTime", [3]);
        await anvil.rpc("evm_mine");
      };
      // The page's last block changes between the question for its hash and that for its logs.
      proxy.fault = (method) => (method === "eth_getLogs" && ++asked === 1 ? replace() : undefined);
      const archive = new Archive();
      await archive.update();
      expect(asked).to.equal(2);
      expect(archive.tags()).to.deep.equal([]);
      const head = await chain.provider.getBlock("latest");
      expect(archive.cursor).to.deep.equal({ blockNumber: head?.number, blockHash: head?.hash });
    });

    it("starts again when a block it covered is replaced while it reads later ones", async () => {
      const archive = new Archive();
      const fork = await anvil.rpc("evm_snapshot");
      const lost = someRecord(alice.address, await now());
      await put(lost);
      await archive.update();
      expect(archive.tags()).to.deep.equal([lost.fileTag]);
      await anvil.rpc("evm_mine");

      const found = someRecord(bob.address, await now());
      let replaced = false;
      proxy.fault = (method, [block]) => {
        // The cursor's block has just been found to be still there; what is asked about next is the last block of the
        // page.
        if (replaced || method !== "eth_getBlockByNumber" || Number(block) === archive.cursor?.blockNumber)
          return undefined;
        replaced = true;
        return (async () => {
          await revertTo(fork);
          await anvil.rpc("evm_increaseTime", [3]);
          await otherRelay.send(recordCall(deployment, await signRecord(deployment, bob, found)));
          await anvil.rpc("anvil_mine", ["0x3"]);
        })().then(() => undefined);
      };
      await archive.update();
      expect(replaced).to.equal(true);
      await archive.update();
      expect(archive.tags()).to.deep.equal([found.fileTag]);
    });

    it("ends with a typed error when the endpoint denies the blocks that it counts", async () => {
      const head = await chain.provider.getBlockNumber();
      let asked = 0;
      proxy.fault = (method, [block]) => {
        if (method !== "eth_getBlockByNumber" || Number(block) !== head) return undefined;
        asked++;
        return { result: null };
      };
      const error = await failure(new Archive().update());
      expect(error).to.include({ code: "CHAIN_UNAVAILABLE", retryable: true });
      expect(asked).to.equal(10);
    });
  });
});
