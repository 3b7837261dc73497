/**
 * HTTP messages of an NBM node. Requests are what the node validates, answers what the agent (or a fellow node) checks
 * before it believes them.
 */

import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { FIRST_GENERATION } from "../committee/key-id.ts";
import { AddressText, Bytes32Text, HexBytes, HexRange, SignatureText, Uint64Text, UnixSeconds } from "./schema.ts";

/** Most blinded elements in one evaluation request. */
export const MAXIMUM_BATCH = 256;
/** Most bytes of a record payload; the contract has the last word. */
export const MAXIMUM_PAYLOAD_BYTES = 16_384;
/** Most bytes of the note of a later owner. */
export const MAXIMUM_NOTE_BYTES = 128;
/** Most records in one page of a listing. */
export const MAXIMUM_PAGE = 200;
/** A page of a listing ends with the record whose payload brings it to so many bytes. */
export const MAXIMUM_PAGE_BYTES = 1024 * 1024;
/** Most shares in one page of a hand-over. */
export const MAXIMUM_HANDOVER_PAGE = 64;
/** Longest validity of a share request, in seconds. */
export const MAXIMUM_SHARE_REQUEST_SECONDS = 3600;
/** Most messages in one answer; a node of a committee of 32 keeps at most 160 of a run, and looked at others. */
export const MAXIMUM_RUN_MESSAGES = 512;
/** Most bytes of one of them; a dealing of 32 members to 32 has 4,373. */
export const MAXIMUM_RUN_MESSAGE_BYTES = 8192;

const closed = { additionalProperties: false };
/** A member's position in its committee, from 1. */
const MemberIndex = Type.Integer({ minimum: 1, maximum: 255 });
/** A ristretto255 element. */
const ElementText = HexBytes(32);

/** Counts the changes of a committee's key shares, from 1. */
const GenerationNumber = Type.Integer({ minimum: FIRST_GENERATION, maximum: 2 ** 32 - 1 });
const generationFields = { committeeId: Uint64Text, generation: GenerationNumber };

/** How far a generation is at one node. */
export const GenerationPhase = Type.Union([
  Type.Literal("announcing"), // collecting the announcements of all members
  Type.Literal("dealing"), // collecting dealings and complaints
  Type.Literal("attesting"), // shares on disk, waiting until every member has attested the same keys on chain
  Type.Literal("ready"), // evaluates
  Type.Literal("failed"), // a member broke the protocol so that no run with it can end; `problem` names it
]);
export type GenerationPhase = Static<typeof GenerationPhase>;

/** `GET /v1/node` */
export const NodeAnswer = Type.Object({
  operator: AddressText,
  hpkePublicKey: Bytes32Text,
  chainId: Type.Integer({ minimum: 1 }),
  version: Type.String({ maxLength: 32 }),
  committees: Type.Array(
    Type.Object({
      ...generationFields,
      /** 0 at a member of the generation that deals who is not in the one that is made. */
      index: Type.Integer({ minimum: 0, maximum: 255 }),
      ready: Type.Boolean(),
      phase: GenerationPhase,
      problem: Type.Optional(Type.String({ maxLength: 1024 })),
      /** What was wrong with the parties whose messages were left out. */
      faults: Type.Optional(Type.Array(Type.String({ maxLength: 1024 }), { maxItems: 1024 })),
    }),
    { maxItems: 1024 },
  ),
});
export type NodeAnswer = Static<typeof NodeAnswer>;

/** `POST /v1/oprf/evaluate` */
export const EvaluateRequest = Type.Object(
  {
    committeeId: Uint64Text,
    generation: GenerationNumber,
    blinded: Type.Array(ElementText, { minItems: 1, maxItems: MAXIMUM_BATCH }),
  },
  closed,
);
export type EvaluateRequest = Static<typeof EvaluateRequest>;

/**
 * `proof` is the batched DLEQ proof of RFC 9497 (with the weights of core/oprf/dleq.ts), c ‖ s, against the member's
 * verification share. `signature` is by the member's operator key over `OprfAnswer`.
 */
export const EvaluateAnswer = Type.Object({
  index: MemberIndex,
  evaluated: Type.Array(ElementText, { minItems: 1, maxItems: MAXIMUM_BATCH }),
  proof: HexBytes(64),
  signature: HexBytes(65),
});
export type EvaluateAnswer = Static<typeof EvaluateAnswer>;

/** The path `/v1/committees/<committee>/generations/<generation>/messages`. */
export const GenerationParams = Type.Object(
  { committeeId: Uint64Text, generation: Type.String({ pattern: "^[1-9][0-9]{0,9}$" }) },
  closed,
);
export type GenerationParams = Static<typeof GenerationParams>;

export const RunMessageKind = Type.Union([
  Type.Literal("announcement"),
  Type.Literal("dealing"),
  Type.Literal("complaint"),
]);
export type RunMessageKind = Static<typeof RunMessageKind>;

/**
 * `POST …/messages`: SHA-256(u8 kind ‖ u16 sender ‖ message) of the messages that whoever asks has, so that only others
 * are sent.
 */
export const RunMessagesRequest = Type.Object(
  { known: Type.Array(Bytes32Text, { maxItems: MAXIMUM_RUN_MESSAGES }) },
  closed,
);
export type RunMessagesRequest = Static<typeof RunMessagesRequest>;

/** A message of a run; the signature (`CommitteeMessage`) is by the operator key of its sender. */
export const RunMessageText = Type.Object({
  kind: RunMessageKind,
  sender: MemberIndex,
  message: HexRange(1, MAXIMUM_RUN_MESSAGE_BYTES),
  signature: HexBytes(65),
});
export type RunMessageText = Static<typeof RunMessageText>;

/** Some of the messages that this node has, and the transcript of its outcome once it has one. */
export const RunMessagesAnswer = Type.Object({
  ...generationFields,
  transcript: Type.Optional(Bytes32Text),
  messages: Type.Array(RunMessageText, { maxItems: MAXIMUM_RUN_MESSAGES }),
});
export type RunMessagesAnswer = Static<typeof RunMessagesAnswer>;

const headerFields = {
  account: AddressText,
  fileTag: Bytes32Text,
  committeeId: Uint64Text,
  keyTime: Uint64Text,
  ownershipKey: AddressText,
};

/** A key-share record as the ledger takes it; big integers as decimal text. */
export const RecordText = Type.Object({ ...headerFields, payload: HexRange(1, MAXIMUM_PAYLOAD_BYTES) }, closed);
export type RecordText = Static<typeof RecordText>;

/** The same with the payload's keccak-256 in its place. */
export const RecordHeaderText = Type.Object({ ...headerFields, payloadHash: Bytes32Text }, closed);
export type RecordHeaderText = Static<typeof RecordHeaderText>;

/** `POST /v1/records`: the node relays the user's signed record and answers once it is mined. */
export const RelayRecordRequest = Type.Object(
  { record: RecordText, deadline: Uint64Text, signature: SignatureText },
  closed,
);
export type RelayRecordRequest = Static<typeof RelayRecordRequest>;

/** `POST /v1/records/:recordId/owners` */
export const RelayOwnerRequest = Type.Object(
  {
    header: RecordHeaderText,
    owner: AddressText,
    note: HexRange(0, MAXIMUM_NOTE_BYTES),
    deadline: Uint64Text,
    ownershipSignature: HexBytes(65),
    ownerSignature: SignatureText,
  },
  closed,
);
export type RelayOwnerRequest = Static<typeof RelayOwnerRequest>;

export const RelayAnswer = Type.Object({
  recordId: Bytes32Text,
  transactionHash: Bytes32Text,
  blockNumber: Type.Integer({ minimum: 0 }),
});
export type RelayAnswer = Static<typeof RelayAnswer>;

/**
 * What the node says of the share in the record that is sealed to it; "none" when the record has no envelope for this
 * node.
 */
export const ShareState = Type.Union([Type.Literal("valid"), Type.Literal("invalid"), Type.Literal("none")]);
export type ShareState = Static<typeof ShareState>;

const archivedFields = {
  recordId: Bytes32Text,
  ...headerFields,
  payload: HexRange(0, MAXIMUM_PAYLOAD_BYTES),
  blockNumber: Type.Integer({ minimum: 0 }),
  transactionHash: Bytes32Text,
  share: ShareState,
};

/** `GET /v1/records/:recordId` */
export const RecordAnswer = Type.Object(archivedFields);
export type RecordAnswer = Static<typeof RecordAnswer>;

/** `GET /v1/records`: the records that fit all that is given. An account's are those that it made or joined. */
export const RecordsQuery = Type.Object(
  {
    account: Type.Optional(AddressText),
    fileTag: Type.Optional(Bytes32Text),
    ownershipKey: Type.Optional(AddressText),
    committeeId: Type.Optional(Uint64Text),
    /** The `next` of the page before. */
    after: Type.Optional(Type.String({ pattern: "^[0-9]{1,15}$" })),
    limit: Type.Optional(Type.String({ pattern: "^(?:[1-9][0-9]?|1[0-9]{2}|200)$" })),
  },
  closed,
);
export type RecordsQuery = Static<typeof RecordsQuery>;

/**
 * One page, each record once. `laterOwner` is the account that was asked for, with its note, or null when it made the
 * record itself. When no account was asked for, it is the one that joined the record first, or null; the note is empty.
 */
export const RecordsAnswer = Type.Object({
  records: Type.Array(
    Type.Object({
      ...archivedFields,
      laterOwner: Type.Union([
        Type.Object({ account: AddressText, note: HexRange(0, MAXIMUM_NOTE_BYTES) }),
        Type.Null(),
      ]),
    }),
    { maxItems: MAXIMUM_PAGE },
  ),
  next: Type.Union([Type.String({ pattern: "^[0-9]{1,15}$" }), Type.Null()]),
});
export type RecordsAnswer = Static<typeof RecordsAnswer>;

/** `GET /v1/key-material/:hash`: the public keys of a generation, by their hash in the registry. */
export const KeyMaterialAnswer = Type.Object({
  oprfPublicKey: ElementText,
  recordPublicKey: ElementText,
  oprfShares: Type.Array(ElementText, { maxItems: 255 }),
  recordShares: Type.Array(ElementText, { maxItems: 255 }),
});
export type KeyMaterialAnswer = Static<typeof KeyMaterialAnswer>;

/**
 * `POST /v1/records/:recordId/share`: EIP-712 `ShareRequest` for this node; `sessionKey` is a fresh X25519 public key.
 */
export const ShareRequestBody = Type.Object(
  {
    account: AddressText,
    /** A predecessor of the account that owns the record; the account itself unless given. */
    owner: Type.Optional(AddressText),
    sessionKey: Bytes32Text,
    expiresAt: UnixSeconds,
    signature: SignatureText,
  },
  closed,
);
export type ShareRequestBody = Static<typeof ShareRequestBody>;

/** The share record, re-sealed to the session key. */
export const ShareAnswer = Type.Object({ index: MemberIndex, sealed: HexRange(48, 4096) });
export type ShareAnswer = Static<typeof ShareAnswer>;

/**
 * `POST /v1/records/:recordId/delivery`: EIP-712 `ShareDelivery` for this node; `sealed` is share `index`, sealed to
 * the node's registered key for this generation of the record's committee (core/record/share-delivery.ts).
 */
export const ShareDeliveryBody = Type.Object(
  {
    account: AddressText,
    /** A predecessor of the account that owns the record; the account itself unless given. */
    owner: Type.Optional(AddressText),
    index: MemberIndex,
    generation: GenerationNumber,
    sealed: HexRange(48, 4096),
    expiresAt: UnixSeconds,
    signature: SignatureText,
  },
  closed,
);
export type ShareDeliveryBody = Static<typeof ShareDeliveryBody>;

/** `isNew` is false when the node had the share. */
export const ShareDeliveryAnswer = Type.Object({ index: MemberIndex, isNew: Type.Boolean() });
export type ShareDeliveryAnswer = Static<typeof ShareDeliveryAnswer>;

const ArchivePlace = Type.String({ pattern: "^[0-9]{1,15}$" });

/**
 * `POST /v1/handovers`: EIP-712 `ShareHandover` by the operator of a member of the active generation, which asks a node
 * for the shares that it holds in its place. `after` is "0" or the `next` of the page before.
 */
export const ShareHandoverRequest = Type.Object(
  { ...generationFields, successor: AddressText, after: ArchivePlace, expiresAt: UnixSeconds, signature: HexBytes(65) },
  closed,
);
export type ShareHandoverRequest = Static<typeof ShareHandoverRequest>;

/** One page, each share sealed to the registered key of whoever asks (core/record/share-delivery.ts). */
export const ShareHandoverAnswer = Type.Object({
  shares: Type.Array(Type.Object({ recordId: Bytes32Text, index: MemberIndex, sealed: HexRange(48, 4096) }), {
    maxItems: MAXIMUM_HANDOVER_PAGE,
  }),
  next: ArchivePlace,
  /** Whether there may be more after `next` now. */
  more: Type.Boolean(),
});
export type ShareHandoverAnswer = Static<typeof ShareHandoverAnswer>;
