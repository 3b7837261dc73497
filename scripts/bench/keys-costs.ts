/**
 * What a file's key costs by phase (operations and milliseconds of each party) and by place (bytes that stay there).
 */
import { Wallet } from "ethers";
import { randomBytes, sha256 } from "#primitives";
import type { Deployment } from "../../offchain/chain/deployment.ts";
import { headerOf, type KeyRecord, type LedgerEvent, recordCall, recordIdOf } from "../../offchain/chain/ledger.ts";
import {
  CHUNK_OVERHEAD_BYTES,
  fileKey as deriveFileKey,
  oprfInput,
  PUBLIC_DOMAIN,
  RECIPE_OVERHEAD_BYTES,
} from "../../offchain/core/crypto/encryption.ts";
import { hpkeKeyPairFromSeed } from "../../offchain/core/crypto/hpke.ts";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { encodeEntry, encodeList } from "../../offchain/core/recipe/recipe.ts";
import {
  buildRecordPayload,
  committeePolicy,
  fileTag,
  type LedgerScope,
  openOwnKey,
  openResealedShare,
  openShare,
  ownershipAddress,
  parseRecordPayload,
  rebuildFileKey,
  resealShare,
} from "../../offchain/core/record/key-record.ts";
import { signRecord } from "../../test/helpers/ledger-records.ts";
import { archiveGrowth, placeOfEvent } from "./archive-size.ts";
import { median } from "./data-figures.ts";
import type { BenchCommittee } from "./keys-committee.ts";
import { cpuMilliseconds } from "./process-cost.ts";

const RUNS = 20;
/** Rows of which a key node's bytes are an average: index pages are shared by many. */
const ARCHIVED_RECORDS = 2000;
/** A new slot is a 32-byte key and a 32-byte value in the state of every chain node. */
export const SLOT_BYTES = 64;

const LEDGER: LedgerScope = { chainId: 31_337n, keyLedger: "0x00000000000000000000000000000000000000aa" };
const KEY_TIME = 1_790_000_000n;
const COMMITTEE_ID = 1n;

/** Nothing is sent anywhere: it says what records are signed for. */
const DEPLOYMENT: Deployment = {
  version: 1,
  rpcUrl: "http://127.0.0.1:8545",
  chainId: Number(LEDGER.chainId),
  contracts: {
    nodeRegistry: LEDGER.keyLedger,
    keyLedger: LEDGER.keyLedger,
    storageEscrow: LEDGER.keyLedger,
    possessionVerifier: LEDGER.keyLedger,
    randomness: LEDGER.keyLedger,
    ownersPolicy: LEDGER.keyLedger,
    recoveryPolicy: LEDGER.keyLedger,
    accountDirectory: LEDGER.keyLedger,
  },
  deployedAtBlock: 0,
  committeeId: String(COMMITTEE_ID),
  providers: [],
};

export interface PhaseCost {
  readonly phase: "tag generation" | "key distribution" | "key recovery";
  readonly party: "user" | "key node";
  /** Per file, and per node where several take part. */
  readonly operations: string;
  readonly milliseconds: number;
}

export interface PlaceCost {
  readonly place: "user" | "provider" | "key node" | "chain";
  readonly bytesPerFile: number;
  /** Per key of a chunk. */
  readonly bytesPerKey: number;
  readonly what: string;
}

/** Medians of {@link RUNS} runs; everything that depends on the size of the file is in the other figures. */
export async function measurePhases(committee: BenchCommittee): Promise<PhaseCost[]> {
  const samples = new Map<string, number[]>();
  const timed = async <T>(name: string, work: () => Promise<T>, share = 1): Promise<T> => {
    const started = cpuMilliseconds();
    const result = await work();
    samples.set(name, [...(samples.get(name) ?? []), (cpuMilliseconds() - started) / share]);
    return result;
  };
  const { size, threshold } = committee;
  const nodes = Array.from({ length: size }, (_, position) => hpkeKeyPairFromSeed(sha256(Uint8Array.of(position))));
  const session = hpkeKeyPairFromSeed(sha256(Uint8Array.of(200)));
  const wallet = Wallet.createRandom();
  const catalogueKey = randomBytes(32);
  for (let run = 0; run < RUNS; run += 1) {
    const digest = randomBytes(32);
    committee.takeTimes();
    const key = await timed("tag", async () => {
      const [output] = await committee.evaluate([oprfInput(PUBLIC_DOMAIN, "file", digest)]);
      if (output === undefined) throw new Error("the committee gave no output");
      return deriveFileKey(output);
    });
    const { nodeMilliseconds } = committee.takeTimes();
    samples.set("tag node", [...(samples.get("tag node") ?? []), nodeMilliseconds]);

    const dataId = contentId(digest);
    const header = {
      account: wallet.address,
      fileTag: toHex(fileTag(dataId)),
      committeeId: COMMITTEE_ID,
      keyTime: KEY_TIME,
      ownershipKey: ownershipAddress(key),
    };
    const payload = await timed("distribute", async () => {
      const built = await buildRecordPayload({
        ledger: LEDGER,
        fileKey: key,
        dataId,
        account: wallet.address,
        committeeId: COMMITTEE_ID,
        keyTime: KEY_TIME,
        policy: committeePolicy(size, threshold),
        committeeKeys: nodes.map(({ publicKey }) => publicKey),
        catalogueKey,
      });
      await signRecord(DEPLOYMENT, wallet, { ...header, payload: built });
      return parseRecordPayload(built);
    });
    await timed("recover alone", async () =>
      openOwnKey({ ledger: LEDGER, catalogueKey }, header, payload.selfEnvelope),
    );
    const quorum = nodes.slice(0, threshold).map(({ privateKey }, position) => ({ privateKey, index: position + 1 }));
    const sealed = await timed(
      "recover node",
      () =>
        Promise.all(
          quorum.map(async ({ privateKey, index }) => {
            const share = await openShare(payload, LEDGER, header, index, privateKey);
            return await resealShare(LEDGER, header, { index, account: wallet.address }, session.publicKey, share);
          }),
        ),
      quorum.length,
    );
    await timed("recover", async () => {
      const shares = new Map<number, Uint8Array>();
      for (const [position, answer] of sealed.entries()) {
        const context = { index: position + 1, account: wallet.address };
        const share = await openResealedShare(payload, LEDGER, header, context, session.privateKey, answer);
        shares.set(context.index, share);
      }
      return rebuildFileKey(payload, header, shares, dataId);
    });
  }
  const of = (name: string) => median(samples.get(name) ?? []);
  return [
    {
      phase: "tag generation",
      party: "user",
      operations: `1 blinding, ${threshold} proofs checked, 1 combination, 1 key derivation`,
      milliseconds: of("tag") - threshold * of("tag node"),
    },
    {
      phase: "tag generation",
      party: "key node",
      operations: "1 evaluation with proof",
      milliseconds: of("tag node"),
    },
    {
      phase: "key distribution",
      party: "user",
      operations: `1 envelope for itself, ${size} shares, commitments and HPKE envelopes, 1 signature`,
      milliseconds: of("distribute"),
    },
    {
      phase: "key recovery",
      party: "user",
      operations: "by the own envelope: 1 opened",
      milliseconds: of("recover alone"),
    },
    {
      phase: "key recovery",
      party: "user",
      operations: `by the committee: ${threshold} envelopes opened, ${threshold} commitments checked, 1 MAC`,
      milliseconds: of("recover"),
    },
    {
      phase: "key recovery",
      party: "key node",
      operations: "1 envelope opened, 1 sealed",
      milliseconds: of("recover node"),
    },
  ];
}

/** Bytes that stay at each place for a file whose key the committee shares, and for each key of its chunks. */
export async function measurePlaces(committee: BenchCommittee): Promise<PlaceCost[]> {
  const payload = await buildRecordPayload({
    ledger: LEDGER,
    fileKey: randomBytes(32),
    dataId: contentId(randomBytes(32)),
    account: LEDGER.keyLedger,
    committeeId: COMMITTEE_ID,
    keyTime: KEY_TIME,
    policy: committeePolicy(committee.size, committee.threshold),
    committeeKeys: Array.from({ length: committee.size }, () => hpkeKeyPairFromSeed(randomBytes(32)).publicKey),
    catalogueKey: randomBytes(32),
  });
  const record: KeyRecord = {
    account: LEDGER.keyLedger,
    fileTag: toHex(randomBytes(32)),
    committeeId: COMMITTEE_ID,
    keyTime: KEY_TIME,
    ownershipKey: LEDGER.keyLedger,
    payload,
  };
  const { data } = recordCall(DEPLOYMENT, await signRecord(DEPLOYMENT, Wallet.createRandom(), record));
  return [
    { place: "user", bytesPerFile: 0, bytesPerKey: 0, what: "the recovery phrase opens everything" },
    {
      place: "provider",
      bytesPerFile: recipeBytes(),
      bytesPerKey: bytesPerReference(),
      what: "in sealed recipes: an entry of the listing and a list of chunks; a reference to each chunk",
    },
    {
      place: "key node",
      bytesPerFile: Math.round(await archivedBytes(record)),
      bytesPerKey: 0,
      what: `the archived record, payload of ${payload.length} bytes, with its indexes`,
    },
    {
      place: "chain",
      bytesPerFile: SLOT_BYTES,
      bytesPerKey: 0,
      what: `state: 1 slot; transaction data of ${(data.length - 2) / 2} bytes`,
    },
  ];
}

const listBytes = (count: number) => {
  const chunk = () => ({
    id: contentId(randomBytes(32)),
    key: randomBytes(32),
    sizeBytes: 1024 * 1024,
    sealedBytes: 1024 * 1024 + CHUNK_OVERHEAD_BYTES,
  });
  return encodeList({ level: 0, refs: Array.from({ length: count }, chunk) }).length;
};

/** Growth of a list of chunks by one reference. */
function bytesPerReference(): number {
  return (listBytes(1000) - listBytes(500)) / 500;
}

/** Of a file that has more chunks than its entry carries: the entry, with a name of one letter, and its empty list. */
function recipeBytes(): number {
  const sizeBytes = 100 * 1024 * 1024;
  const blob = { level: 0, id: contentId(randomBytes(32)), key: randomBytes(32), sizeBytes };
  const entry = encodeEntry({ type: "file", path: "f", sizeBytes, content: { blob } });
  return entry.length + Math.round(listBytes(500) - 500 * bytesPerReference()) + RECIPE_OVERHEAD_BYTES;
}

/** Growth of a key node's database by one record. */
async function archivedBytes(record: KeyRecord): Promise<number> {
  const events: LedgerEvent[] = Array.from({ length: ARCHIVED_RECORDS }, (_, position) => ({
    kind: "KeyRecorded",
    recordId: recordIdOf(headerOf(record)),
    record: { ...record, fileTag: toHex(randomBytes(32)) },
    ...placeOfEvent(position),
  }));
  const [growth = 0] = await archiveGrowth([events]);
  return growth / ARCHIVED_RECORDS;
}
