/**
 * Signed records for tests of the ledger, made with the typed data that agent and contracts share.
 */

import { getBytes, hexlify, keccak256, randomBytes, type TypedDataEncoder, Wallet } from "ethers";
import type { Deployment } from "../../offchain/chain/deployment.ts";
import {
  headerOf,
  type KeyRecord,
  type OwnerAddition,
  recordIdOf,
  type SignedBatch,
  type SignedRecord,
} from "../../offchain/chain/ledger.ts";
import {
  addOwnerTypedData,
  keyRecordsTypedData,
  keyRecordTypedData,
  ownershipTypedData,
  type TypedData,
} from "../../offchain/core/identity/typed-messages.ts";

type Signer = { readonly address: string; signTypedData: Wallet["signTypedData"] };

/** A deadline that no test reaches. */
export const FAR_DEADLINE = 2n ** 40n;

/** A record of random bytes for committee 1. @param keyTime unix seconds. */
export function someRecord(account: string, keyTime: bigint, fields: Partial<KeyRecord> = {}): KeyRecord {
  return {
    account,
    fileTag: hexlify(randomBytes(32)),
    committeeId: 1n,
    keyTime,
    ownershipKey: new Wallet(hexlify(randomBytes(32))).address,
    payload: randomBytes(64),
    ...fields,
  };
}

export async function signRecord(
  deployment: Deployment,
  signer: Signer,
  record: KeyRecord,
  deadline = FAR_DEADLINE,
): Promise<SignedRecord> {
  const typed = keyRecordTypedData(BigInt(deployment.chainId), deployment.contracts.keyLedger, {
    ...headerOf(record),
    deadline,
  });
  return { record, deadline, signature: await sign(signer, typed) };
}

/** Records of one account, committee and key time, under one signature. */
export async function signBatch(
  deployment: Deployment,
  signer: Signer,
  records: readonly KeyRecord[],
  deadline = FAR_DEADLINE,
): Promise<SignedBatch> {
  const typed = keyRecordsTypedData(BigInt(deployment.chainId), deployment.contracts.keyLedger, {
    account: signer.address,
    recordIds: records.map((record) => recordIdOf(headerOf(record))),
    deadline,
  });
  return { records, deadline, signature: await sign(signer, typed) };
}

/** An addition of `owner`, which has the file's ownership key and wants to be added. */
export async function signOwnerAddition(
  deployment: Deployment,
  record: KeyRecord,
  ownership: Signer,
  owner: Signer,
  note: Uint8Array = new Uint8Array(),
): Promise<OwnerAddition> {
  const chainId = BigInt(deployment.chainId);
  const ledger = deployment.contracts.keyLedger;
  const header = headerOf(record);
  const message = {
    recordId: recordIdOf(header),
    owner: owner.address,
  };
  const addition = addOwnerTypedData(chainId, ledger, {
    ...message,
    noteHash: keccak256(note),
    deadline: FAR_DEADLINE,
  });
  return {
    header,
    owner: owner.address,
    note,
    deadline: FAR_DEADLINE,
    ownershipSignature: await sign(ownership, ownershipTypedData(chainId, ledger, message)),
    ownerSignature: await sign(owner, addition),
  };
}

/** A wallet from one number, so that tests say who is who. */
export function walletOf(number: number): Wallet {
  return new Wallet(hexlify(getBytes(keccak256(Uint8Array.of(number)))));
}

function sign<Message extends object>(signer: Signer, typed: TypedData<Message>): Promise<string> {
  return signer.signTypedData(typed.domain, typed.types, typed.message as Parameters<TypedDataEncoder["hash"]>[0]);
}
