/**
 * What a key record and a later owner take on chain and in a key node's archive. Records and additions are built,
 * signed and encoded by the code of agent and node, and sent to the ledger on Hardhat's own network; new slots are
 * counted in the traces of the transactions. No committee is made: the ledger's registry is a stub that calls every
 * committee active.
 */
import { hexlify, type TransactionReceipt, Wallet } from "ethers";
import type { NetworkConnection } from "hardhat/types/network";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import type { Deployment } from "../../offchain/chain/deployment.ts";
import {
  addOwnerCall,
  headerOf,
  type KeyRecord,
  type LedgerEvent,
  ledgerScope,
  recordCall,
  recordIdOf,
  recordManyCall,
} from "../../offchain/chain/ledger.ts";
import { KeyLedger__factory } from "../../offchain/chain/types/factories/KeyLedger__factory.ts";
import { hpkeKeyPairFromSeed } from "../../offchain/core/crypto/hpke.ts";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { groupReady, multiplyBase, scalarFromNumber } from "../../offchain/core/oprf/group.ts";
import {
  buildRecordPayload,
  committeePolicy,
  fileScope,
  fileTag,
  ownershipAddress,
  ownershipKey,
  type ShareRecipient,
  sealSelfEnvelope,
} from "../../offchain/core/record/key-record.ts";
import { buildSealedPayload } from "../../offchain/core/record/sealed-record.ts";
import { signBatch, signOwnerAddition, signRecord } from "../../test/helpers/ledger-records.ts";
import { pseudoRandomBytes } from "../../test/helpers/pseudo-random.ts";
import { archiveGrowth, placeOfEvent } from "./archive-size.ts";
import { countNewSlots, GENESIS_SECONDS, measuringNetwork, RULES_OF_TODAY } from "./gas-figure.ts";
import { SLOT_BYTES } from "./keys-costs.ts";

/** The most that the ledger takes in one call. */
const BATCH_RECORDS = 32;
/** The ledger asks its registry only whether a committee is active. This code returns 1, and writes nothing. */
const ALWAYS_TRUE = "0x600160005260206000f3";
const REGISTRY = "0x00000000000000000000000000000000000000c0";
const COMMITTEE_ID = 1n;
const ADDRESS_BYTES = 20;
const TOPIC_BYTES = 32;

/** Bytes that one entry of the ledger leaves behind. */
export interface ChainEntry {
  /** New storage slots, 64 bytes each: key and value. */
  readonly stateBytes: number;
  /** Call data and logs, which a chain node may prune. */
  readonly historyBytes: number;
}

export interface RecordCosts {
  readonly recipients: Exclude<ShareRecipient, "self">;
  readonly payloadBytes: number;
  readonly record: ChainEntry;
  /** A record that is one of 32 in a transaction. */
  readonly recordInBatch: ChainEntry;
  readonly join: ChainEntry;
  /** Rows in the archive of one key node. */
  readonly archivedRecordBytes: number;
  readonly archivedJoinBytes: number;
}

const bytesOf = (name: string, length = 32): Uint8Array => pseudoRandomBytes(`key-storage ${name}`, length);
const walletOf = (name: string): Wallet => new Wallet(hexlify(bytesOf(`wallet ${name}`)));

interface Recorder {
  readonly deployment: Deployment;
  readonly wallet: Wallet;
  readonly nodes: number;
  readonly threshold: number;
}

interface MadeRecord {
  readonly record: KeyRecord;
  readonly dataId: string;
  readonly fileKey: Uint8Array;
}

/** A record as an agent makes it. @param name tells records apart */
async function makeRecord(
  { deployment, wallet, nodes, threshold }: Recorder,
  recipients: RecordCosts["recipients"],
  name: string,
): Promise<MadeRecord> {
  const fileKey = bytesOf(`file key ${name}`);
  const dataId = contentId(bytesOf(`content ${name}`));
  const ledger = ledgerScope(deployment);
  const catalogueKey = bytesOf("catalogue key");
  const header = {
    account: wallet.address,
    fileTag: hexlify(fileTag(dataId)),
    committeeId: COMMITTEE_ID,
    keyTime: BigInt(GENESIS_SECONDS),
    ownershipKey: ownershipAddress(fileKey),
  };
  const groupKey = multiplyBase(scalarFromNumber(7));
  const seal = { ledger, ownersPolicy: deployment.contracts.ownersPolicy, groupKey };
  const committeeKeys = Array.from(
    { length: nodes },
    (_, index) => hpkeKeyPairFromSeed(bytesOf(`node ${index}`)).publicKey,
  );
  const policy = committeePolicy(nodes, threshold);
  const payload =
    recipients === "sealed"
      ? buildSealedPayload({ seal, header, fileKey, dataId, catalogueKey })
      : await buildRecordPayload({ ...header, ledger, fileKey, dataId, policy, committeeKeys, catalogueKey });
  return { record: { ...header, payload }, dataId, fileKey };
}

/** The note of a later owner: data id and file key, sealed to itself. */
function noteOf({ deployment }: Recorder, { record, dataId, fileKey }: MadeRecord): Uint8Array {
  const scope = fileScope(record.account, fileTag(dataId));
  const context = { ledger: ledgerScope(deployment), fileScope: scope, catalogueKey: bytesOf("catalogue of a joiner") };
  return sealSelfEnvelope(context, { dataId, fileKey });
}

/** Sends a call and adds up what it leaves. @throws Error when it is refused */
async function sendCall(connection: NetworkConnection, call: ContractCall, entries = 1): Promise<ChainEntry> {
  const [sender] = await connection.ethers.getSigners();
  if (sender === undefined) throw new Error("the network has no accounts");
  const receipt = await (await sender.sendTransaction({ to: call.to, data: call.data })).wait();
  if (receipt?.status !== 1) throw new Error(`${call.description} was refused`);
  const newSlots = await countNewSlots(connection, receipt.hash);
  return {
    stateBytes: (newSlots * SLOT_BYTES) / entries,
    historyBytes: ((call.data.length - 2) / 2 + logBytes(receipt)) / entries,
  };
}

function logBytes({ logs }: TransactionReceipt): number {
  let sum = 0;
  for (const { data, topics } of logs) sum += ADDRESS_BYTES + topics.length * TOPIC_BYTES + (data.length - 2) / 2;
  return sum;
}

/**
 * Archives records, then a later owner of each, at one node.
 *
 * @returns bytes of one row each
 */
async function archivedBytes(made: MadeRecord, note: Uint8Array, rows: number): Promise<[number, number]> {
  // Sealed bytes are fresh in every run, and the order of the record ids, which follows from them, fills pages.
  const payload = bytesOf("payload", made.record.payload.length);
  const records = Array.from({ length: rows }, (_, position): LedgerEvent => {
    const record = { ...made.record, payload, fileTag: hexlify(bytesOf(`tag ${position}`)) };
    return { kind: "KeyRecorded", recordId: recordIdOf(headerOf(record)), record, ...placeOfEvent(position) };
  });
  const joins = records.flatMap((event, position): LedgerEvent[] => {
    if (event.kind !== "KeyRecorded") return [];
    const { recordId, record } = event;
    const owner = hexlify(bytesOf(`owner ${position}`, ADDRESS_BYTES));
    return [{ kind: "OwnerAdded", recordId, fileTag: record.fileTag, owner, note, ...placeOfEvent(rows + position) }];
  });
  const [ofRecords = 0, ofJoins = 0] = await archiveGrowth([records, joins]);
  return [ofRecords / rows, ofJoins / rows];
}

/**
 * Measures records for both kinds of recipients.
 *
 * @param rows that an archive is filled with: index pages are shared by many
 */
export async function measureRecords(nodes: number, threshold: number, rows: number): Promise<RecordCosts[]> {
  await groupReady();
  const connection = await measuringNetwork(RULES_OF_TODAY);
  try {
    const [sender] = await connection.ethers.getSigners();
    if (sender === undefined) throw new Error("the network has no accounts");
    await connection.ethers.provider.send("hardhat_setCode", [REGISTRY, ALWAYS_TRUE]);
    const ledger = await new KeyLedger__factory(sender).deploy(REGISTRY);
    await ledger.waitForDeployment();
    const deployment = await deploymentOf(connection, await ledger.getAddress());
    const recorder = { deployment, wallet: walletOf("recorder"), nodes, threshold };
    const costs: RecordCosts[] = [];
    for (const recipients of ["shares", "sealed"] as const) {
      const made = await makeRecord(recorder, recipients, `${recipients} alone`);
      const note = noteOf(recorder, made);
      const signed = await signRecord(deployment, recorder.wallet, made.record);
      const ownership = new Wallet(hexlify(ownershipKey(made.fileKey)));
      const addition = await signOwnerAddition(deployment, made.record, ownership, walletOf("joiner"), note);
      const many: KeyRecord[] = [];
      for (let index = 0; index < BATCH_RECORDS; index += 1) {
        many.push((await makeRecord(recorder, recipients, `${recipients} ${index}`)).record);
      }
      const batch = await signBatch(deployment, recorder.wallet, many);
      const record = await sendCall(connection, recordCall(deployment, signed));
      const recordInBatch = await sendCall(connection, recordManyCall(deployment, batch), BATCH_RECORDS);
      const join = await sendCall(connection, addOwnerCall(deployment, addition));
      const [archivedRecordBytes, archivedJoinBytes] = await archivedBytes(made, note, rows);
      const payloadBytes = made.record.payload.length;
      costs.push({ recipients, payloadBytes, record, recordInBatch, join, archivedRecordBytes, archivedJoinBytes });
    }
    return costs;
  } finally {
    await connection.close();
  }
}

/** Only chain id, key ledger and owners policy are used. */
async function deploymentOf(connection: NetworkConnection, keyLedger: string): Promise<Deployment> {
  const { chainId } = await connection.ethers.provider.getNetwork();
  return {
    version: 1,
    rpcUrl: "http://127.0.0.1:8545",
    chainId: Number(chainId),
    contracts: {
      nodeRegistry: REGISTRY,
      keyLedger,
      storageEscrow: REGISTRY,
      possessionVerifier: REGISTRY,
      randomness: REGISTRY,
      ownersPolicy: REGISTRY,
      recoveryPolicy: REGISTRY,
      accountDirectory: REGISTRY,
    },
    deployedAtBlock: 0,
    committeeId: String(COMMITTEE_ID),
    providers: [],
  };
}
