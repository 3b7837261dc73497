/** A key node's part in the shares of records, on a database in memory, for a registry and a ledger that tests make. */

import { id } from "ethers";
import pino from "pino";
import type { MemberHistory, SettledGenerations } from "../../../offchain/chain/committee-generations.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import { headerOf, type KeyRecord, recordIdOf } from "../../../offchain/chain/ledger.ts";
import type { NodeInfo } from "../../../offchain/chain/registry.ts";
import { hpkeKeyPairFromSeed } from "../../../offchain/core/crypto/hpke.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import {
  buildRecordPayload,
  committeePolicy,
  fileTag,
  ownershipAddress,
  parseRecordPayload,
  sharesOfRecord,
} from "../../../offchain/core/record/key-record.ts";
import { checkAccountSignature } from "../../../offchain/daemon/account-signature.ts";
import type { GenerationStore } from "../../../offchain/nbm/generations/generation-store.ts";
import { Archive } from "../../../offchain/nbm/records/archive.ts";
import { HeldShares } from "../../../offchain/nbm/records/held-shares.ts";
import { OwnShares } from "../../../offchain/nbm/records/own-shares.ts";
import { noRecord } from "../../../offchain/nbm/records/record-ownership.ts";
import { ShareDeliveries } from "../../../offchain/nbm/records/share-deliveries.ts";
import { ShareHandovers } from "../../../offchain/nbm/records/share-handovers.ts";
import { ShareLines } from "../../../offchain/nbm/records/share-lines.ts";
import { ShareTakeovers } from "../../../offchain/nbm/records/share-takeovers.ts";
import { SecretBox } from "../../../offchain/nbm/secret-box.ts";
import { NBM_MIGRATIONS } from "../../../offchain/nbm/tables.ts";
import { type Database, openDatabase } from "../../../offchain/store/index/sqlite.ts";
import { walletOf } from "../../helpers/ledger-records.ts";

export const NOW = 1_800_000_000;
export const LEDGER = { chainId: 31_337n, keyLedger: walletOf(90).address };
export const FINAL_AFTER_BLOCKS = 20;
export const owner = walletOf(80);

const dataId = contentId(new Uint8Array([4, 5, 6]));
const fileKey = new Uint8Array(32).fill(7);

/** Operators 1 to 5 made the committee of all records; 6 has taken the place of 3. */
export const operators = [1, 2, 3, 4, 5, 6].map((number) => walletOf(number).address);
const [first, second, third, fourth, fifth, successor] = operators as [string, string, string, string, string, string];
export const named = { first, second, third, fourth, fifth, successor };
export const generations = [
  { activatedAt: 100, members: operators.slice(0, 5) },
  { activatedAt: 2000, members: [first, second, successor, fourth, fifth] },
];
export const keysOf = (operator: string) =>
  hpkeKeyPairFromSeed(new Uint8Array(32).fill(operators.indexOf(operator) + 1));

/** A record of one file, which the key time tells from others. */
export async function makeRecord(keyTime: bigint): Promise<KeyRecord> {
  const fields = { account: owner.address, committeeId: 1n, keyTime };
  const payload = await buildRecordPayload({
    ...fields,
    ledger: LEDGER,
    fileKey,
    dataId,
    policy: committeePolicy(5, 3),
    committeeKeys: operators.slice(0, 5).map((operator) => keysOf(operator).publicKey),
    catalogueKey: new Uint8Array(32).fill(5),
  });
  return { ...fields, fileTag: toHex(fileTag(dataId)), ownershipKey: ownershipAddress(fileKey), payload };
}

export function rightShare(of: KeyRecord, index: number): Uint8Array {
  return sharesOfRecord(LEDGER, parseRecordPayload(of.payload), of, fileKey, dataId)[index - 1] ?? new Uint8Array();
}

export interface ShareNodeOptions {
  /** Whom the ledger has records of. */
  readonly records: readonly KeyRecord[];
  readonly history?: Partial<MemberHistory>;
  /** Where the other nodes are. */
  readonly url?: string;
  /** Committees before that of the records whose generations cannot be read, and why. */
  readonly failing?: ReadonlyMap<bigint, TallystickError>;
}

export class ShareNode {
  readonly operator: string;
  readonly database: Database = openDatabase(":memory:", { migrations: NBM_MIGRATIONS });
  readonly held = new HeldShares(this.database, new SecretBox(new Uint8Array(32).fill(1)));
  readonly archive = new Archive(this.database);
  readonly own: OwnShares;
  readonly deliveries: ShareDeliveries;
  readonly handovers: ShareHandovers;
  readonly warnings: string[] = [];
  readonly #takeoverOptions: ConstructorParameters<typeof ShareTakeovers>[0];

  constructor(operator: string, { records, history = {}, url = "", failing = new Map() }: ShareNodeOptions) {
    this.operator = operator;
    const chain = { deployment: { chainId: 31_337, contracts: LEDGER } } as unknown as ChainReader;
    const places = generations.map(({ members }) => members.indexOf(operator) + 1).filter((index) => index > 0);
    const memberships = { indicesIn: async () => places };
    const settled: SettledGenerations = { upTo: 0, generations: [], activatedBlock: 0 };
    const read = async (_: ChainReader, committeeId: bigint) => {
      const failure = failing.get(committeeId);
      if (failure !== undefined) throw failure;
      return { active: 2, blocksSince: FINAL_AFTER_BLOCKS, generations, settled, ...history };
    };
    const lines = new ShareLines({ chain, finalAfterBlocks: FINAL_AFTER_BLOCKS, read });
    const hpkePrivateKey = keysOf(operator).privateKey;
    const { held, archive, database } = this;
    this.own = new OwnShares({ chain, operator, hpkePrivateKey, memberships, lines, held });
    const byId = new Map(records.map((record) => [recordIdOf(headerOf(record)), record]));
    const onChain = async (recordId: string) => {
      const found = byId.get(recordId);
      if (found === undefined) throw noRecord(recordId);
      return found;
    };
    const ownership = {
      onChain,
      recordOf: async (recordId: string, account: string) => {
        if (account === owner.address) return await onChain(recordId);
        throw new TallystickError("the account does not own the record", { code: "NOT_OWNER" });
      },
    };
    const nodeOf = async (_: ChainReader, asked: string): Promise<NodeInfo> => ({
      ...{ operator: asked, url, hpkePublicKey: keysOf(asked).publicKey },
      ...{ stakeWei: 1n, registeredAt: 1, exitAt: 0 },
    });
    const parts = { chain, operator, hpkePrivateKey, memberships, lines, own: this.own, held, archive, nodeOf };
    this.deliveries = new ShareDeliveries({
      ...{ ...parts, ownership },
      checkSignature: (account, typed, signature) => checkAccountSignature(chain, account, typed, signature, unasked),
      now: () => NOW,
    });
    this.handovers = new ShareHandovers(parts);
    const states = [...failing.keys(), 1n].map((committeeId) => ({
      committeeId,
      phase: "ready",
    })) as unknown as ReturnType<GenerationStore["all"]>;
    const note = { write: (line: string) => void this.warnings.push(String(JSON.parse(line).msg)) };
    this.#takeoverOptions = {
      ...{ chain, database, lines, deliveries: this.deliveries, ownership, nodeOf },
      wallet: walletOf(operators.indexOf(operator) + 1),
      generations: { all: () => states },
      logger: pino({ level: "warn" }, note),
      onTaken: () => undefined,
    };
  }

  /** One round of a process that has just started. */
  async takeOver(): Promise<void> {
    await new ShareTakeovers(this.#takeoverOptions).advance();
  }

  async index(record: KeyRecord): Promise<number | undefined> {
    return (await this.own.open(record))?.index;
  }

  /** As if the archive had read them from the chain. */
  archiveAll(records: readonly KeyRecord[]): void {
    for (const [position, record] of records.entries()) {
      const blockNumber = position + 1;
      const blockHash = id(`block ${blockNumber}`);
      const place = { blockNumber, blockHash, transactionHash: id(`sent ${blockNumber}`), logIndex: 0 };
      const recordId = recordIdOf(headerOf(record));
      const events = [{ ...place, kind: "KeyRecorded" as const, recordId, record }];
      const cursor = { blockNumber, blockHash };
      this.archive.apply({ fromBlock: blockNumber, toBlock: blockNumber, atHead: true, events, cursor }, new Map());
    }
  }
}

function unasked(): never {
  throw new TallystickError("no contract wallet", { code: "INVALID_SIGNATURE" });
}
