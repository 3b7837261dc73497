/**
 * EIP-712 typed data of the project: what accounts, ownership keys and session keys sign. Plain objects in the shape
 * that ethers and viem take; signing and verifying happen elsewhere.
 *
 * Messages that a contract verifies carry the contract in their domain, and so does Session, so that a session at one
 * deployment is of no use at another. ShareRequest has a domain without `verifyingContract`.
 */

import { InvalidInputError } from "../errors.ts";

export interface TypedDataField {
  name: string;
  type: string;
}

/** The EIP-712 domain. `verifyingContract` is absent for messages that name no contract. */
export interface TypedDataDomain {
  name: string;
  version: string;
  chainId: bigint;
  verifyingContract?: string;
}

/** A message with its domain and types, as `signTypedData(domain, types, message)` takes them. */
export interface TypedData<Message> {
  domain: TypedDataDomain;
  types: Record<string, TypedDataField[]>;
  primaryType: string;
  message: Message;
}

/** Opens a session with a daemon: `audience` is the daemon's operator address, so that it cannot use it elsewhere. */
export interface SessionMessage {
  account: string;
  audience: string;
  /** 32 bytes, 0x hex; accepted once. */
  nonce: string;
  /** Unix seconds. */
  expiresAt: bigint;
}

/** Asks one node for one share, to be sealed to `sessionKey`. */
export interface ShareRequestMessage {
  /** 32 bytes, 0x hex. */
  recordId: string;
  /** Who asks: the recorder, or an owner added later. */
  account: string;
  /** HPKE public key of the session, 32 bytes, 0x hex. */
  sessionKey: string;
  /** Operator address of the node. */
  node: string;
  /** Unix seconds. */
  expiresAt: bigint;
}

/** Gives one node the share of a record that it is to hold (core/record/share-delivery.ts). */
export interface ShareDeliveryMessage {
  /** 32 bytes, 0x hex. */
  recordId: string;
  /** Who delivers: the recorder, or an owner added later. */
  account: string;
  /** Operator address of the node. */
  node: string;
  /** keccak256 of the sealed share, 0x hex. */
  sealedHash: string;
  /** Unix seconds. */
  expiresAt: bigint;
}

/** Asks a node for the shares that its successor in a committee is to hold. Signed by the successor's operator. */
export interface ShareHandoverMessage {
  /** Operator address of the node that is asked. */
  node: string;
  /** Operator address of who asks. */
  successor: string;
  committeeId: bigint;
  /** The active generation, of which the successor is a member. */
  generation: bigint;
  /** Cursor of the node's archive: what comes before is kept by the successor. */
  after: bigint;
  /** Unix seconds. */
  expiresAt: bigint;
}

/** What an account signs to have a key record put on chain by any relay. */
export interface KeyRecordMessage {
  account: string;
  /** 32 bytes, 0x hex. */
  fileTag: string;
  committeeId: bigint;
  /** Unix seconds at which the record was made. */
  keyTime: bigint;
  ownershipKey: string;
  /** keccak256 of the payload, 0x hex. */
  payloadHash: string;
  /** Unix seconds after which the contract refuses the signature. */
  deadline: bigint;
}

/** What an account signs to make several records. */
export interface KeyRecordsMessage {
  account: string;
  /** 32 bytes each, 0x hex, in the order of the batch. */
  recordIds: string[];
  /** Unix seconds after which the contract refuses the signature. */
  deadline: bigint;
}

/** Signed with the ownership key, which only somebody who has the file can derive. */
export interface OwnershipMessage {
  /** Of the record that the owner has checked, 32 bytes, 0x hex. */
  recordId: string;
  owner: string;
}

/** What a later owner signs to be added to a record. */
export interface AddOwnerMessage {
  /** Of the record that the owner has checked, 32 bytes, 0x hex. */
  recordId: string;
  owner: string;
  /** keccak256 of the note, 0x hex. */
  noteHash: string;
  /** Unix seconds. */
  deadline: bigint;
}

/** What user and provider sign for one state of a data set. */
export interface DataSetUpdateMessage {
  /** 32 bytes, 0x hex. */
  dataSetId: string;
  /** Higher than that of every state before it. */
  version: bigint;
  /** How often the user had retired slices alone when this was signed. */
  retirements: bigint;
  /** keccak256 of the list of live ranges, 0x hex. */
  rangesHash: string;
  /** Of what both parties agree on about the content, 32 bytes, 0x hex. */
  contentHash: string;
  /** Last block in which the contract takes the signature. */
  deadlineBlock: bigint;
}

/** What a provider signs when it answers a private challenge, so that it cannot deny the answer. */
export interface AuditAnswerMessage {
  /** 32 bytes, 0x hex. */
  dataSetId: string;
  challengeId: string;
  /** keccak256 of the encoded proof, 0x hex. */
  proofHash: string;
}

/** What a provider signs about the key that challenges are sealed to. */
export interface ChallengeKeyMessage {
  provider: string;
  /** X25519, 32 bytes, 0x hex. */
  key: string;
}

/** Asks one node for its decryption share of a sealed secret, to be sealed to `sessionKey`. */
export interface ReleaseRequestMessage {
  /** Name of the sealed secret, which commits to its label and bytes; 32 bytes, 0x hex. */
  secret: string;
  /** Who asks. */
  account: string;
  /** HPKE public key of the session, 32 bytes, 0x hex. */
  sessionKey: string;
  /** Operator address of the node. */
  node: string;
  /** Unix seconds. */
  expiresAt: bigint;
}

/**
 * What a node signs about a release, so that it cannot deny to whom it gave its share and on whose word. Chain and
 * ledger in the domain are those of the label. Whoever has the data and the evidence can ask the policy the same again.
 */
export interface ReleaseReceiptMessage {
  /** Name of the sealed secret, 32 bytes, 0x hex. */
  secret: string;
  /** Of the label, as the next four. */
  recordId: string;
  version: bigint;
  author: string;
  /** The policy that allowed it. */
  policy: string;
  /** keccak256 of the policy's data, 32 bytes, 0x hex. */
  policyDataHash: string;
  /** keccak256 of what the requester showed to the policy, 32 bytes, 0x hex. */
  evidenceHash: string;
  /** Who asked. */
  account: string;
  /** HPKE public key that the share is sealed to, 32 bytes, 0x hex. */
  sessionKey: string;
  /** The block in whose state the policy allowed it. */
  blockNumber: bigint;
  /** 32 bytes, 0x hex. */
  blockHash: string;
  /** Unix seconds. */
  releasedAt: bigint;
}

/** A request for the release of a secret, as the recovery policy knows it. */
export interface RecoveryRequestMessage {
  /** The secret with its policy's data, 32 bytes, 0x hex. */
  secretId: string;
  /** 0 by the recovery wallet, 1 by guardians. */
  path: bigint;
  /** Who opens the request. */
  proposer: string;
  /** Who may have the secret released. */
  requester: string;
  /** X25519 public key that shares are sealed to, 32 bytes, 0x hex. */
  sessionKey: string;
  /** 1 for the proposer's first request for the secret, then one more for each. */
  number: bigint;
}

/** What a guardian signs to approve a request. Wallets that share a key each need a signature of their own. */
export interface RecoveryApprovalMessage extends RecoveryRequestMessage {
  guardian: string;
}

/** What a proposer signs to have its request opened by any relay. */
export interface RecoveryOpeningMessage extends RecoveryRequestMessage {
  /** Unix seconds. */
  deadline: bigint;
}

/** What the author of a secret signs against the requests of a proposer. */
export interface RecoveryVetoMessage {
  secretId: string;
  path: bigint;
  proposer: string;
}

/** What the author of a secret signs to end its versions before one. */
export interface RecoveryRetirementMessage {
  ledger: string;
  /** 32 bytes, 0x hex. */
  recordId: string;
  firstVersion: bigint;
  author: string;
}

/** What an account and its successor both sign, so that the second takes the place of the first. */
export interface SuccessionMessage {
  account: string;
  successor: string;
  /** keccak256 of the handover, 32 bytes, 0x hex. */
  handoverHash: string;
  /** Unix seconds. */
  deadline: bigint;
}

/** What an account and a key both sign, so that the key may act for the account. */
export interface DelegationMessage {
  account: string;
  key: string;
  /** Sum of the bits of `delegation.ts`. */
  scopes: bigint;
  /** Unix seconds. */
  expiresAt: bigint;
  /** Unix seconds up to which the signatures may be used. */
  deadline: bigint;
}

/** What ends a delegation: signed by the account, the last one of its line, or the key itself. */
export interface DelegateRevocationMessage {
  by: string;
  key: string;
}

/** What a device signs about the key that the owner of an account seals to. */
export interface DelegateEncryptionKeyMessage {
  account: string;
  /** The delegate. */
  key: string;
  /** HPKE public key of the device, 32 bytes, 0x hex. */
  encryptionKey: string;
}

/** A snapshot that a device leaves at a provider for its account. Signed by the device. */
export interface DelegateSnapshotMessage {
  account: string;
  /** The delegate. */
  key: string;
  /** Account of the provider that keeps it. */
  provider: string;
  /** From 1, without a gap. */
  position: bigint;
  /** Unix seconds of the device's clock. */
  time: bigint;
  /** SHA-256 of the entry before it, 0x hex; zero for the first one. */
  previous: string;
  /** SHA-256 of the sealed snapshot, 0x hex. */
  sealedHash: string;
}

/** What a key node signs of its answer to a batch of blinded elements, so that it pays for a wrong one. */
export interface OprfAnswerMessage {
  committeeId: bigint;
  /** Of the committee's key. */
  generation: bigint;
  /** Hash of the key material of the generation that was answered with, 32 bytes, 0x hex. */
  keyMaterialHash: string;
  /** The member's position in the committee, from 1. */
  index: bigint;
  /** Who was answered. */
  account: string;
  /** Composite M of the blinded elements (RFC 9497 §2.2.1), 32 bytes, 0x hex. */
  blinded: string;
  /** Composite Z of the evaluated elements, 32 bytes, 0x hex. */
  evaluated: string;
  /** The proof's scalars, 32 bytes each, 0x hex. */
  c: string;
  s: string;
}

const DOMAIN_NAME = "Tallystick";
const DOMAIN_VERSION = "1";

const RECOVERY_REQUEST = [
  { name: "secretId", type: "bytes32" },
  { name: "path", type: "uint8" },
  { name: "proposer", type: "address" },
  { name: "requester", type: "address" },
  { name: "sessionKey", type: "bytes32" },
  { name: "number", type: "uint64" },
];

/** Field order is part of the type hash: it equals that of the contracts. */
const TYPES = {
  Session: [
    { name: "account", type: "address" },
    { name: "audience", type: "address" },
    { name: "nonce", type: "bytes32" },
    { name: "expiresAt", type: "uint64" },
  ],
  ShareRequest: [
    { name: "recordId", type: "bytes32" },
    { name: "account", type: "address" },
    { name: "sessionKey", type: "bytes32" },
    { name: "node", type: "address" },
    { name: "expiresAt", type: "uint64" },
  ],
  ShareDelivery: [
    { name: "recordId", type: "bytes32" },
    { name: "account", type: "address" },
    { name: "node", type: "address" },
    { name: "sealedHash", type: "bytes32" },
    { name: "expiresAt", type: "uint64" },
  ],
  ShareHandover: [
    { name: "node", type: "address" },
    { name: "successor", type: "address" },
    { name: "committeeId", type: "uint64" },
    { name: "generation", type: "uint32" },
    { name: "after", type: "uint64" },
    { name: "expiresAt", type: "uint64" },
  ],
  KeyRecord: [
    { name: "account", type: "address" },
    { name: "fileTag", type: "bytes32" },
    { name: "committeeId", type: "uint64" },
    { name: "keyTime", type: "uint64" },
    { name: "ownershipKey", type: "address" },
    { name: "payloadHash", type: "bytes32" },
    { name: "deadline", type: "uint64" },
  ],
  KeyRecords: [
    { name: "account", type: "address" },
    { name: "recordIds", type: "bytes32[]" },
    { name: "deadline", type: "uint64" },
  ],
  Ownership: [
    { name: "recordId", type: "bytes32" },
    { name: "owner", type: "address" },
  ],
  AddOwner: [
    { name: "recordId", type: "bytes32" },
    { name: "owner", type: "address" },
    { name: "noteHash", type: "bytes32" },
    { name: "deadline", type: "uint64" },
  ],
  DataSetUpdate: [
    { name: "dataSetId", type: "bytes32" },
    { name: "version", type: "uint64" },
    { name: "retirements", type: "uint32" },
    { name: "rangesHash", type: "bytes32" },
    { name: "contentHash", type: "bytes32" },
    { name: "deadlineBlock", type: "uint64" },
  ],
  AuditAnswer: [
    { name: "dataSetId", type: "bytes32" },
    { name: "challengeId", type: "bytes32" },
    { name: "proofHash", type: "bytes32" },
  ],
  ChallengeKey: [
    { name: "provider", type: "address" },
    { name: "key", type: "bytes32" },
  ],
  ReleaseRequest: [
    { name: "secret", type: "bytes32" },
    { name: "account", type: "address" },
    { name: "sessionKey", type: "bytes32" },
    { name: "node", type: "address" },
    { name: "expiresAt", type: "uint64" },
  ],
  ReleaseReceipt: [
    { name: "secret", type: "bytes32" },
    { name: "recordId", type: "bytes32" },
    { name: "version", type: "uint32" },
    { name: "author", type: "address" },
    { name: "policy", type: "address" },
    { name: "policyDataHash", type: "bytes32" },
    { name: "evidenceHash", type: "bytes32" },
    { name: "account", type: "address" },
    { name: "sessionKey", type: "bytes32" },
    { name: "blockNumber", type: "uint64" },
    { name: "blockHash", type: "bytes32" },
    { name: "releasedAt", type: "uint64" },
  ],
  RecoveryOpening: [...RECOVERY_REQUEST, { name: "deadline", type: "uint64" }],
  RecoveryApproval: [...RECOVERY_REQUEST, { name: "guardian", type: "address" }],
  RecoveryVeto: [
    { name: "secretId", type: "bytes32" },
    { name: "path", type: "uint8" },
    { name: "proposer", type: "address" },
  ],
  RecoveryRetirement: [
    { name: "ledger", type: "address" },
    { name: "recordId", type: "bytes32" },
    { name: "firstVersion", type: "uint32" },
    { name: "author", type: "address" },
  ],
  Succession: [
    { name: "account", type: "address" },
    { name: "successor", type: "address" },
    { name: "handoverHash", type: "bytes32" },
    { name: "deadline", type: "uint64" },
  ],
  Delegation: [
    { name: "account", type: "address" },
    { name: "key", type: "address" },
    { name: "scopes", type: "uint8" },
    { name: "expiresAt", type: "uint64" },
    { name: "deadline", type: "uint64" },
  ],
  DelegateRevocation: [
    { name: "by", type: "address" },
    { name: "key", type: "address" },
  ],
  DelegateEncryptionKey: [
    { name: "account", type: "address" },
    { name: "key", type: "address" },
    { name: "encryptionKey", type: "bytes32" },
  ],
  DelegateSnapshot: [
    { name: "account", type: "address" },
    { name: "key", type: "address" },
    { name: "provider", type: "address" },
    { name: "position", type: "uint64" },
    { name: "time", type: "uint64" },
    { name: "previous", type: "bytes32" },
    { name: "sealedHash", type: "bytes32" },
  ],
  OprfAnswer: [
    { name: "committeeId", type: "uint64" },
    { name: "generation", type: "uint32" },
    { name: "keyMaterialHash", type: "bytes32" },
    { name: "index", type: "uint16" },
    { name: "account", type: "address" },
    { name: "blinded", type: "bytes32" },
    { name: "evaluated", type: "bytes32" },
    { name: "c", type: "bytes32" },
    { name: "s", type: "bytes32" },
  ],
} satisfies Record<string, TypedDataField[]>;

const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const BYTES32 = /^0x[0-9a-fA-F]{64}$/;
const TEXT_FORMS = new Map([
  ["address", ADDRESS],
  ["bytes32", BYTES32],
]);
const INTEGER_LIMITS = new Map([
  ["uint8", 1n << 8n],
  ["uint16", 1n << 16n],
  ["uint32", 1n << 32n],
  ["uint64", 1n << 64n],
]);

/**
 * Message for a daemon's `POST /v1/sessions`.
 *
 * @param contract what the daemon serves: the key ledger for nodes, the storage escrow for providers.
 * @throws InvalidInputError for a malformed field.
 */
export function sessionTypedData(
  chainId: bigint,
  contract: string,
  message: SessionMessage,
): TypedData<SessionMessage> {
  return typedData("Session", contractDomain(chainId, contract), message);
}

/** Message for `POST /v1/records/:recordId/share`. @throws InvalidInputError for a malformed field. */
export function shareRequestTypedData(
  chainId: bigint,
  keyLedger: string,
  message: ShareRequestMessage,
): TypedData<ShareRequestMessage> {
  return typedData("ShareRequest", contractDomain(chainId, keyLedger), message);
}

/** Message for `POST /v1/records/:recordId/delivery`. @throws InvalidInputError for a malformed field. */
export function shareDeliveryTypedData(
  chainId: bigint,
  keyLedger: string,
  message: ShareDeliveryMessage,
): TypedData<ShareDeliveryMessage> {
  return typedData("ShareDelivery", contractDomain(chainId, keyLedger), message);
}

/** Message for `POST /v1/handovers`. @throws InvalidInputError for a malformed field. */
export function shareHandoverTypedData(
  chainId: bigint,
  keyLedger: string,
  message: ShareHandoverMessage,
): TypedData<ShareHandoverMessage> {
  return typedData("ShareHandover", contractDomain(chainId, keyLedger), message);
}

/** Message for `KeyLedger.record`. @throws InvalidInputError for a malformed field. */
export function keyRecordTypedData(
  chainId: bigint,
  keyLedger: string,
  message: KeyRecordMessage,
): TypedData<KeyRecordMessage> {
  return typedData("KeyRecord", contractDomain(chainId, keyLedger), message);
}

/** Message for `KeyLedger.recordMany`. @throws InvalidInputError for a malformed field. */
export function keyRecordsTypedData(
  chainId: bigint,
  keyLedger: string,
  message: KeyRecordsMessage,
): TypedData<KeyRecordsMessage> {
  return typedData("KeyRecords", contractDomain(chainId, keyLedger), message);
}

/** Message of the ownership key for `KeyLedger.addOwner`. @throws InvalidInputError for a malformed field. */
export function ownershipTypedData(
  chainId: bigint,
  keyLedger: string,
  message: OwnershipMessage,
): TypedData<OwnershipMessage> {
  return typedData("Ownership", contractDomain(chainId, keyLedger), message);
}

/** Message of the new owner for `KeyLedger.addOwner`. @throws InvalidInputError for a malformed field. */
export function addOwnerTypedData(
  chainId: bigint,
  keyLedger: string,
  message: AddOwnerMessage,
): TypedData<AddOwnerMessage> {
  return typedData("AddOwner", contractDomain(chainId, keyLedger), message);
}

/** Message for `StorageEscrow.open`, `update` and `retire`. @throws InvalidInputError for a malformed field. */
export function dataSetUpdateTypedData(
  chainId: bigint,
  escrow: string,
  message: DataSetUpdateMessage,
): TypedData<DataSetUpdateMessage> {
  return typedData("DataSetUpdate", contractDomain(chainId, escrow), message);
}

/** Message for the answer to `POST /v1/data-sets/:salt/audit`. @throws InvalidInputError for a malformed field. */
export function auditAnswerTypedData(
  chainId: bigint,
  escrow: string,
  message: AuditAnswerMessage,
): TypedData<AuditAnswerMessage> {
  return typedData("AuditAnswer", contractDomain(chainId, escrow), message);
}

/** Message for `GET /v1/data-set-offer`. @throws InvalidInputError for a malformed field. */
export function challengeKeyTypedData(
  chainId: bigint,
  escrow: string,
  message: ChallengeKeyMessage,
): TypedData<ChallengeKeyMessage> {
  return typedData("ChallengeKey", contractDomain(chainId, escrow), message);
}

/** Message for the release of a sealed secret by one node. @throws InvalidInputError for a malformed field. */
export function releaseRequestTypedData(
  chainId: bigint,
  keyLedger: string,
  message: ReleaseRequestMessage,
): TypedData<ReleaseRequestMessage> {
  return typedData("ReleaseRequest", contractDomain(chainId, keyLedger), message);
}

/** Message of a node about a release that it granted. @throws InvalidInputError for a malformed field. */
export function releaseReceiptTypedData(
  chainId: bigint,
  keyLedger: string,
  message: ReleaseReceiptMessage,
): TypedData<ReleaseReceiptMessage> {
  return typedData("ReleaseReceipt", contractDomain(chainId, keyLedger), message);
}

/** Message for `RecoveryPolicy.open`. @throws InvalidInputError for a malformed field. */
export function recoveryOpeningTypedData(
  chainId: bigint,
  policy: string,
  message: RecoveryOpeningMessage,
): TypedData<RecoveryOpeningMessage> {
  return typedData("RecoveryOpening", contractDomain(chainId, policy), message);
}

/** Message for `RecoveryPolicy.approve`. @throws InvalidInputError for a malformed field. */
export function recoveryApprovalTypedData(
  chainId: bigint,
  policy: string,
  message: RecoveryApprovalMessage,
): TypedData<RecoveryApprovalMessage> {
  return typedData("RecoveryApproval", contractDomain(chainId, policy), message);
}

/** Message for `RecoveryPolicy.veto`. @throws InvalidInputError for a malformed field. */
export function recoveryVetoTypedData(
  chainId: bigint,
  policy: string,
  message: RecoveryVetoMessage,
): TypedData<RecoveryVetoMessage> {
  return typedData("RecoveryVeto", contractDomain(chainId, policy), message);
}

/** Message for `RecoveryPolicy.retire`. @throws InvalidInputError for a malformed field. */
export function recoveryRetirementTypedData(
  chainId: bigint,
  policy: string,
  message: RecoveryRetirementMessage,
): TypedData<RecoveryRetirementMessage> {
  return typedData("RecoveryRetirement", contractDomain(chainId, policy), message);
}

/** Message for `AccountDirectory.replace`. @throws InvalidInputError for a malformed field. */
export function successionTypedData(
  chainId: bigint,
  directory: string,
  message: SuccessionMessage,
): TypedData<SuccessionMessage> {
  return typedData("Succession", contractDomain(chainId, directory), message);
}

/** Message for `AccountDirectory.delegate`. @throws InvalidInputError for a malformed field. */
export function delegationTypedData(
  chainId: bigint,
  directory: string,
  message: DelegationMessage,
): TypedData<DelegationMessage> {
  return typedData("Delegation", contractDomain(chainId, directory), message);
}

/** Message for `AccountDirectory.revoke`. @throws InvalidInputError for a malformed field. */
export function delegateRevocationTypedData(
  chainId: bigint,
  directory: string,
  message: DelegateRevocationMessage,
): TypedData<DelegateRevocationMessage> {
  return typedData("DelegateRevocation", contractDomain(chainId, directory), message);
}

/** Message for a device's request. @throws InvalidInputError for a malformed field. */
export function delegateEncryptionKeyTypedData(
  chainId: bigint,
  directory: string,
  message: DelegateEncryptionKeyMessage,
): TypedData<DelegateEncryptionKeyMessage> {
  return typedData("DelegateEncryptionKey", contractDomain(chainId, directory), message);
}

/** Message for a snapshot that a device leaves for its account. @throws InvalidInputError for a malformed field. */
export function delegateSnapshotTypedData(
  chainId: bigint,
  directory: string,
  message: DelegateSnapshotMessage,
): TypedData<DelegateSnapshotMessage> {
  return typedData("DelegateSnapshot", contractDomain(chainId, directory), message);
}

/** Message for the answer to `POST /v1/oprf/evaluate`. @throws InvalidInputError for a malformed field. */
export function oprfAnswerTypedData(
  chainId: bigint,
  nodeRegistry: string,
  message: OprfAnswerMessage,
): TypedData<OprfAnswerMessage> {
  return typedData("OprfAnswer", contractDomain(chainId, nodeRegistry), message);
}

function contractDomain(chainId: bigint, verifyingContract: string): TypedDataDomain {
  checkField("verifyingContract", "address", verifyingContract);
  return { name: DOMAIN_NAME, version: DOMAIN_VERSION, chainId, verifyingContract };
}

function typedData<Message extends object>(
  primaryType: keyof typeof TYPES,
  domain: TypedDataDomain,
  message: Message,
): TypedData<Message> {
  const fields: TypedDataField[] = TYPES[primaryType].map((field) => ({ ...field }));
  const values = new Map<string, unknown>(Object.entries(message));
  for (const { name, type } of fields) checkField(name, type, values.get(name));
  return { domain, types: { [primaryType]: fields }, primaryType, message };
}

/** Chain libraries coerce what they are given; a wrong type must fail here, where the field's name is known. */
function checkField(name: string, type: string, value: unknown): void {
  if (type.endsWith("[]") && Array.isArray(value)) {
    for (const [position, item] of value.entries()) checkField(`${name}[${position}]`, type.slice(0, -2), item);
    return;
  }
  const limit = INTEGER_LIMITS.get(type);
  const fits =
    limit !== undefined
      ? typeof value === "bigint" && value >= 0n && value < limit
      : typeof value === "string" && TEXT_FORMS.get(type)?.test(value) === true;
  if (!fits) {
    throw new InvalidInputError(`typed data field ${name} is no ${type}`, { check: "typed data", expected: type });
  }
}
