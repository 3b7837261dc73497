/**
 * The wire format between an agent and a storage provider: TypeBox schemas (JSON Schema draft 7 subset) and the types
 * they stand for. The provider validates requests with them, the agent validates answers with them, so both sides read
 * one text.
 *
 * Encodings: byte strings are lower-case `0x` hex; big integers are decimal strings; times are
 * unix seconds; chunk ids are CIDv1 (raw, sha2-256, base32). Requests refuse unknown fields; answers may gain fields.
 */
import { type Static, Type } from "@sinclair/typebox";
import { CHALLENGE_ANSWER_BYTES, CHALLENGE_NONCE_BYTES, CHALLENGE_PLACES } from "../crypto/ownership-challenge.ts";
import { AddressText, ContentIdText, HexBytes, HexRange, Uint256Text, UnixSeconds } from "./schema.ts";

/** Largest object, tag included: what peers of IPFS exchange as one block. The chunker's maximum follows from it. */
export const MAX_CHUNK_BYTES = 2 * 1024 * 1024;
/** Binary CIDv1: version, codec, hash code, hash length, 32-byte digest. */
export const BINARY_CID_BYTES = 36;
/** Frame head of `POST /v1/chunks`: binary CID, then the length as a big-endian 32-bit number. */
export const CHUNK_FRAME_HEAD_BYTES = BINARY_CID_BYTES + 4;
/** Largest body of `POST /v1/chunks`. */
export const MAX_CHUNK_BODY_BYTES = 32 * 1024 * 1024;
/** Most chunks in one body of `POST /v1/chunks`. */
export const MAX_BODY_CHUNKS = 1024;
/** Most chunks in one ownership claim. */
export const MAX_CLAIM_CHUNKS = 64;
/** Largest body of `PUT /v1/preparations/:salt/{powers-a,powers-b,tags}`. */
export const MAX_PREPARATION_PART_BYTES = 8 * 1024 * 1024;
/** Largest encoded manifest. */
export const MAX_MANIFEST_BYTES = 16 * 1024 * 1024;
/** Most slices a private audit may sample. */
export const MAX_AUDIT_SAMPLES = 4096;
/** The type of bodies that are one stream of bytes: objects, heads, parts of preparations. */
export const OCTET_STREAM = "application/octet-stream";
/** The type of a body of chunk frames, see `http/chunk-frames.ts`. */
export const CHUNK_FRAMES = "application/vnd.tallystick.chunk-frames";

const closed = { additionalProperties: false } as const;
const uint32 = (minimum = 0) => Type.Integer({ minimum, maximum: 0xffff_ffff });
const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/** A price in one token. `token` is the zero address for the native coin. Amounts are in the token's smallest unit. */
export const TokenPrice = Type.Object({
  token: AddressText,
  /** Price of one GiB (2^30 bytes of slices, padding included) for one epoch. */
  pricePerGibEpoch: Uint256Text,
  /** No agreement pays less than this per epoch: a proof costs the same gas however small the data is. */
  minimumFeePerEpoch: Uint256Text,
});
export type TokenPrice = Static<typeof TokenPrice>;

/**
 * `GET /v1/offer`: the terms the provider accepts. `offchain/core/agreement/offer.ts` turns an offer into the amounts
 * of an agreement and holds an agreement against an offer; both sides use it.
 */
export const Offer = Type.Object({
  version: Type.Literal(1),
  /** The account that accepts agreements and signs the provider's transactions; the audience of sessions. */
  account: AddressText,
  chainId: count,
  escrow: AddressText,
  /** Sources of public randomness the provider accepts. The first one is preferred. */
  randomness: Type.Array(AddressText, { minItems: 1 }),
  prices: Type.Array(TokenPrice, { minItems: 1 }),
  /** Compensation per missed epoch, in percent of the fee: the most the provider grants. */
  compensationPercent: uint32(),
  /** Bounty per missed epoch for whoever reports it, in percent of the fee: the most the provider grants. */
  bountyPercent: uint32(),
  /** Misses that end the agreement; exactly this. */
  breachLimit: Type.Integer({ minimum: 1, maximum: 65_535 }),
  /** Length of an epoch; exactly this. */
  epochBlocks: uint32(1),
  /** Blocks in which a proof counts; at least this many. */
  windowBlocks: uint32(1),
  /** Draws per epoch; at most this many. The escrow takes no more than 2048. */
  sampleCount: Type.Integer({ minimum: 1, maximum: 2048 }),
  maximumEpochs: uint32(1),
  /** Slices in one agreement; at most this many. A larger data set takes several agreements. */
  maximumSlices: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  /** The start block must be this far ahead of the head when the agreement is accepted … */
  minimumLeadBlocks: uint32(1),
  /** … and not further than this. */
  maximumLeadBlocks: uint32(1),
});
export type Offer = Static<typeof Offer>;

/** `POST /v1/claims`: chunks the account says it has, each with its ciphertext length. */
export const ClaimRequest = Type.Object(
  {
    chunks: Type.Array(
      Type.Object({ id: ContentIdText, sizeBytes: Type.Integer({ minimum: 1, maximum: MAX_CHUNK_BYTES }) }, closed),
      { minItems: 1, maxItems: MAX_CLAIM_CHUNKS },
    ),
  },
  closed,
);
export type ClaimRequest = Static<typeof ClaimRequest>;

/** What to prove about one chunk: `offchain/core/crypto/ownership-challenge.ts`. */
const Challenge = Type.Object({
  nonce: HexBytes(CHALLENGE_NONCE_BYTES),
  /** Byte offsets in the ciphertext: none for a chunk below 640 bytes, which is proven as a whole, else 20. */
  positions: Type.Array(Type.Integer({ minimum: 0, maximum: MAX_CHUNK_BYTES }), { maxItems: CHALLENGE_PLACES }),
});

/** One challenge for each chunk of the claim, in its order, whether or not the provider has the chunk. */
export const ClaimAnswer = Type.Object({
  claimId: HexBytes(16),
  challenges: Type.Array(Challenge, { minItems: 1, maxItems: MAX_CLAIM_CHUNKS }),
  /** The claim is void after this time. */
  expiresAt: UnixSeconds,
});
export type ClaimAnswer = Static<typeof ClaimAnswer>;

/**
 * `POST /v1/chunks/release`: objects that the account needs no more, as the head of this version tells; another one in
 * place is a CONFLICT. The account owns them for a while longer. A claim, an upload or `keep` takes the release back.
 * Running agreements keep theirs.
 */
export const ReleaseRequest = Type.Object(
  {
    ids: Type.Array(ContentIdText, { minItems: 1, maxItems: MAX_BODY_CHUNKS }),
    version: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  },
  closed,
);
export type ReleaseRequest = Static<typeof ReleaseRequest>;

/** `POST /v1/chunks/keep`: objects that the account needs. A release of them is taken back. */
export const KeepRequest = Type.Object(
  { ids: Type.Array(ContentIdText, { minItems: 1, maxItems: MAX_BODY_CHUNKS }) },
  closed,
);
export type KeepRequest = Static<typeof KeepRequest>;

/** `missing`: the account does not own them, or the provider has lost them. */
export const KeepAnswer = Type.Object({ missing: Type.Array(ContentIdText, { maxItems: MAX_BODY_CHUNKS }) });
export type KeepAnswer = Static<typeof KeepAnswer>;

/** How many of them the account owned and had not released. */
export const ReleaseAnswer = Type.Object({ released: count });
export type ReleaseAnswer = Static<typeof ReleaseAnswer>;

/** `GET /v1/usage`: what the account owns. */
export const UsageAnswer = Type.Object({
  chunks: count,
  bytes: count,
  /** How often the account has released objects, from 1 with the first head of its snapshot list; 0 without one. */
  releases: count,
  /** Nothing of it is paid for: all of it is released then, unless an agreement is made before. */
  expiresAt: Type.Optional(UnixSeconds),
});
export type UsageAnswer = Static<typeof UsageAnswer>;

/** `POST /v1/chunks/inspect`: objects of the account that it has found damaged or missing. */
export const InspectRequest = Type.Object(
  { ids: Type.Array(ContentIdText, { minItems: 1, maxItems: MAX_CLAIM_CHUNKS }) },
  closed,
);
export type InspectRequest = Static<typeof InspectRequest>;

/** `lost`: the provider cannot give these back. An upload of them heals them. */
export const InspectAnswer = Type.Object({ lost: Type.Array(ContentIdText) });
export type InspectAnswer = Static<typeof InspectAnswer>;

export const ClaimParams = Type.Object({ claimId: HexBytes(16) });
export type ClaimParams = Static<typeof ClaimParams>;

/** `POST /v1/claims/:claimId/answers`: one answer for each challenge, in the same order. A claim is answered once. */
export const ClaimProofRequest = Type.Object(
  { answers: Type.Array(HexBytes(CHALLENGE_ANSWER_BYTES), { minItems: 1, maxItems: MAX_CLAIM_CHUNKS }) },
  closed,
);
export type ClaimProofRequest = Static<typeof ClaimProofRequest>;

/**
 * `owned`: the account now owns these. `missing`: to be uploaded; a wrong answer looks the same as an unknown chunk.
 */
export const ClaimOutcome = Type.Object({
  owned: Type.Array(ContentIdText),
  missing: Type.Array(ContentIdText),
});
export type ClaimOutcome = Static<typeof ClaimOutcome>;

/** `POST /v1/chunks` (frames): all ids of the body, durable. On any error nothing of the body is kept. */
export const StoreChunksAnswer = Type.Object({ stored: Type.Array(ContentIdText) });
export type StoreChunksAnswer = Static<typeof StoreChunksAnswer>;

/** `GET /v1/chunks/:id`: the ciphertext, for owners. */
export const ChunkParams = Type.Object({ id: ContentIdText });
export type ChunkParams = Static<typeof ChunkParams>;

export const PreparationParams = Type.Object({ salt: HexBytes(32) });
export type PreparationParams = Static<typeof PreparationParams>;

/**
 * `PUT /v1/preparations/:salt` (octet-stream, `preparation-body.ts`) opens a preparation, or finds it again after a
 * break (same salt, same content). The salt is the one the agreement secret derives from; another manifest or key under
 * a known salt is a CONFLICT.
 *
 * Answer to `PUT` and `GET /v1/preparations/:salt`, and to each part. `expected` and `received` are byte counts of the
 * three streams; a client continues each at `received`. `received` may be above zero at the start: powers that the
 * account sent with an earlier preparation under the same β are reused.
 */
const StreamBytes = Type.Object({ powersA: count, powersB: count, tags: count });
export const PreparationStatus = Type.Object({
  salt: HexBytes(32),
  state: Type.Union([
    Type.Literal("open"),
    Type.Literal("verifying"),
    Type.Literal("verified"),
    Type.Literal("agreed"),
  ]),
  firstIndex: count,
  sliceCount: count,
  manifestHash: HexBytes(32),
  auditKeyHash: HexBytes(32),
  expected: StreamBytes,
  received: StreamBytes,
  /** Slices whose tags have been checked so far in a running verification. */
  checkedSlices: count,
  expiresAt: UnixSeconds,
});
export type PreparationStatus = Static<typeof PreparationStatus>;

/**
 * `PUT /v1/preparations/:salt/:part?offset=`: bytes appended to one stream. `offset` must be the `received` count of
 * that stream, else CONFLICT with `details.received`.
 */
export const PreparationPartParams = Type.Object({
  salt: HexBytes(32),
  part: Type.Union([Type.Literal("powers-a"), Type.Literal("powers-b"), Type.Literal("tags")]),
});
export type PreparationPartParams = Static<typeof PreparationPartParams>;
export const PreparationPartQuery = Type.Object(
  { offset: Type.Optional(Type.String({ pattern: "^(?:0|[1-9][0-9]{0,14})$" })) },
  closed,
);
export type PreparationPartQuery = Static<typeof PreparationPartQuery>;

/**
 * `POST /v1/preparations/:salt/verify`: checks powers and tags. Answers 200 with state `verified`, or, when the check
 * takes longer than some seconds, 202 with state `verifying`: ask again. A check that fails is an INVALID_PROOF error
 * and resets the stream that failed to zero bytes received.
 */
export const VerifyAnswer = PreparationStatus;
export type VerifyAnswer = PreparationStatus;

/** `POST /v1/agreements`: accept the proposal `agreementId` on chain for what was prepared under `salt`. Idempotent. */
export const AcceptRequest = Type.Object({ agreementId: Uint256Text, salt: HexBytes(32) }, closed);
export type AcceptRequest = Static<typeof AcceptRequest>;
export const AcceptAnswer = Type.Object({
  agreementId: Uint256Text,
  transactionHash: HexBytes(32),
  blockNumber: count,
});
export type AcceptAnswer = Static<typeof AcceptAnswer>;

export const AgreementParams = Type.Object({ agreementId: Uint256Text });
export type AgreementParams = Static<typeof AgreementParams>;

/** `GET /v1/agreements/:agreementId`: how the provider sees an agreement of the session's account. */
export const AgreementStatus = Type.Object({
  agreementId: Uint256Text,
  salt: HexBytes(32),
  state: Type.Union([Type.Literal("accepting"), Type.Literal("active"), Type.Literal("ended")]),
  /** `damaged`: the last attempt to prove failed on this provider's own data. */
  health: Type.Union([Type.Literal("unknown"), Type.Literal("good"), Type.Literal("damaged")]),
  healthDetail: Type.Optional(Type.String()),
  manifestHash: HexBytes(32),
  auditKeyHash: HexBytes(32),
  firstIndex: count,
  sliceCount: count,
  provenEpochs: count,
  failedEpochs: count,
  lastProof: Type.Optional(
    Type.Object({ epoch: count, transactionHash: HexBytes(32), blockNumber: count, gasUsed: Uint256Text }),
  ),
});
export type AgreementStatus = Static<typeof AgreementStatus>;

/** `POST /v1/agreements/:agreementId/audit`: a private audit, for the account that made the agreement. */
export const AuditRequest = Type.Object(
  { seed: HexBytes(32), sampleCount: Type.Integer({ minimum: 1, maximum: MAX_AUDIT_SAMPLES }) },
  closed,
);
export type AuditRequest = Static<typeof AuditRequest>;
/** `proof`: the encoded possession proof, without W. */
export const AuditAnswer = Type.Object({ proof: HexRange(1, 1024) });
export type AuditAnswer = Static<typeof AuditAnswer>;
