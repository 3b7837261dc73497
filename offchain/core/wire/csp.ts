/**
 * The wire format between an agent and a storage provider: TypeBox schemas (JSON Schema draft 7 subset) and the types they
 * stand for. The provider validates requests with them, the agent validates answers with them, so both sides read one text.
 *
 * Encodings: byte strings are lower-case `0x` hex unless a field says base64url; big integers are decimal strings; times are
 * unix seconds; chunk ids are CIDv1 (raw, sha2-256, base32). Requests refuse unknown fields; answers may gain fields.
 */
import { type Static, Type } from "@sinclair/typebox";

/** A ciphertext is at most one plaintext chunk (2 MiB) and the 16-byte authentication tag. */
export const MAX_CHUNK_BYTES = 2 * 1024 * 1024 + 16;
/** Binary CIDv1: version, codec, hash code, hash length, 32-byte digest. */
export const BINARY_CID_BYTES = 36;
/** Frame head of `POST /v1/chunks`: binary CID, then the length as a big-endian 32-bit number. */
export const CHUNK_FRAME_HEAD_BYTES = BINARY_CID_BYTES + 4;
/** Largest body of `POST /v1/chunks`. */
export const MAX_CHUNK_BODY_BYTES = 32 * 1024 * 1024;
/** Most chunks in one ownership claim. */
export const MAX_CLAIM_CHUNKS = 64;
/** Leaves challenged per claim: this many, or one for each chunk if there are more chunks. */
export const MIN_CLAIM_LEAVES = 20;
/** Largest body of `PUT /v1/preparations/:salt/{powers-a,powers-b,tags}`. */
export const MAX_PREPARATION_PART_BYTES = 8 * 1024 * 1024;
/** Largest encoded manifest. */
export const MAX_MANIFEST_BYTES = 16 * 1024 * 1024;
/** Most slices a private audit may sample. */
export const MAX_AUDIT_SAMPLES = 4096;
/** The body type of chunk and preparation streams. */
export const OCTET_STREAM = "application/octet-stream";

const closed = { additionalProperties: false } as const;
const hex = (bytes: number) => Type.String({ pattern: `^0x[0-9a-f]{${bytes * 2}}$` });
const hexAtMost = (bytes: number) => Type.String({ pattern: "^0x([0-9a-f]{2})*$", maxLength: 2 + bytes * 2 });
const address = Type.String({ pattern: "^0x[0-9a-fA-F]{40}$" });
const uint256 = Type.String({ pattern: "^(0|[1-9][0-9]{0,77})$" });
const uint32 = (minimum = 0) => Type.Integer({ minimum, maximum: 0xffff_ffff });
const seconds = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
/** CIDv1 with codec raw and sha2-256 always starts like this and is 59 characters long. */
const chunkId = Type.String({ pattern: "^bafkrei[a-z2-7]{52}$" });
const base64url = (bytes: number) =>
  Type.String({ pattern: "^[A-Za-z0-9_-]*$", maxLength: Math.ceil((bytes * 4) / 3) });

/** A price in one token. `token` is the zero address for the native coin. Amounts are in the token's smallest unit. */
export const TokenPriceSchema = Type.Object({
  token: address,
  /** Price of one GiB (2^30 bytes of slices, padding included) for one epoch. */
  pricePerGibEpoch: uint256,
  /** No agreement pays less than this per epoch: a proof costs the same gas however small the data is. */
  minimumFeePerEpoch: uint256,
});
export type TokenPrice = Static<typeof TokenPriceSchema>;

/**
 * `GET /v1/offer`: the terms the provider accepts. `offchain/core/offer.ts` turns an offer into the amounts of an agreement
 * and holds an agreement against an offer; both sides use it.
 */
export const OfferSchema = Type.Object({
  version: Type.Literal(1),
  /** The account that accepts agreements and signs the provider's transactions; the audience of sessions. */
  account: address,
  chainId: count,
  escrow: address,
  /** Sources of public randomness the provider accepts. The first one is preferred. */
  randomness: Type.Array(address, { minItems: 1 }),
  prices: Type.Array(TokenPriceSchema, { minItems: 1 }),
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
  /** Slices sampled per epoch; at most this many. */
  sampleCount: Type.Integer({ minimum: 1, maximum: 65_535 }),
  maximumEpochs: uint32(1),
  /** The start block must be this far ahead of the head when the agreement is accepted … */
  minimumLeadBlocks: uint32(1),
  /** … and not further than this. */
  maximumLeadBlocks: uint32(1),
});
export type Offer = Static<typeof OfferSchema>;

/** `POST /v1/claims`: chunks the account says it has, each with its ciphertext length. */
export const ClaimRequestSchema = Type.Object(
  {
    chunks: Type.Array(
      Type.Object({ id: chunkId, sizeBytes: Type.Integer({ minimum: 1, maximum: MAX_CHUNK_BYTES }) }, closed),
      { minItems: 1, maxItems: MAX_CLAIM_CHUNKS },
    ),
  },
  closed,
);
export type ClaimRequest = Static<typeof ClaimRequestSchema>;

/** A leaf to prove: `chunk` is the position in the claim, `leaf` the position of a 1024-byte leaf in that ciphertext. */
const ChallengeSchema = Type.Object({
  chunk: Type.Integer({ minimum: 0, maximum: MAX_CLAIM_CHUNKS - 1 }),
  leaf: Type.Integer({ minimum: 0, maximum: MAX_CHUNK_BYTES }),
});

/** Drawn after the claim, and always, whether or not the provider has the chunks. */
export const ClaimResponseSchema = Type.Object({
  claimId: hex(16),
  challenges: Type.Array(ChallengeSchema, { minItems: 1 }),
  /** The claim is void after this time. */
  expiresAt: seconds,
});
export type ClaimResponse = Static<typeof ClaimResponseSchema>;

export const ClaimParamsSchema = Type.Object({ claimId: hex(16) });
export type ClaimParams = Static<typeof ClaimParamsSchema>;

/** `POST /v1/claims/:claimId/answers`. A claim is answered once. Challenges left out make their chunk count as missing. */
export const ClaimAnswersRequestSchema = Type.Object(
  {
    answers: Type.Array(
      Type.Object(
        {
          chunk: Type.Integer({ minimum: 0, maximum: MAX_CLAIM_CHUNKS - 1 }),
          leaf: Type.Integer({ minimum: 0, maximum: MAX_CHUNK_BYTES }),
          data: base64url(1024),
          /** Sibling hashes from the leaf to the root. */
          path: Type.Array(hex(32), { maxItems: 32 }),
        },
        closed,
      ),
      { maxItems: 4 * MAX_CLAIM_CHUNKS },
    ),
  },
  closed,
);
export type ClaimAnswersRequest = Static<typeof ClaimAnswersRequestSchema>;

/** `owned`: the account now owns these. `missing`: to be uploaded; a wrong answer looks the same as an unknown chunk. */
export const ClaimAnswersResponseSchema = Type.Object({
  owned: Type.Array(chunkId),
  missing: Type.Array(chunkId),
});
export type ClaimAnswersResponse = Static<typeof ClaimAnswersResponseSchema>;

/** `POST /v1/chunks` (frames): all ids of the body, durable. On any error nothing of the body is kept. */
export const StoreChunksResponseSchema = Type.Object({ stored: Type.Array(chunkId) });
export type StoreChunksResponse = Static<typeof StoreChunksResponseSchema>;

/** `GET /v1/chunks/:id`: the ciphertext, for owners. */
export const ChunkParamsSchema = Type.Object({ id: chunkId });
export type ChunkParams = Static<typeof ChunkParamsSchema>;

/** The owner's public audit key: three G2 points in EIP-2537 encoding. */
export const AuditKeySchema = Type.Object({ X: hex(256), XA: hex(256), Bt: hex(256) }, closed);
export type AuditKeyJson = Static<typeof AuditKeySchema>;

export const PreparationParamsSchema = Type.Object({ salt: hex(32) });
export type PreparationParams = Static<typeof PreparationParamsSchema>;

/**
 * `PUT /v1/preparations/:salt`: opens a preparation, or finds it again after a break (same salt, same content). The salt is
 * the one the agreement secret derives from; another manifest or key under a known salt is a CONFLICT.
 */
export const PreparationRequestSchema = Type.Object(
  { manifest: base64url(MAX_MANIFEST_BYTES), auditKey: AuditKeySchema },
  closed,
);
export type PreparationRequest = Static<typeof PreparationRequestSchema>;

/**
 * Answer to `PUT` and `GET /v1/preparations/:salt`, and to each part. `expected` and `received` are byte counts of the three
 * streams; a client continues each at `received`. `received` may be above zero at the start: powers that the account sent
 * with an earlier preparation under the same β are reused.
 */
const StreamBytesSchema = Type.Object({ powersA: count, powersB: count, tags: count });
export const PreparationStatusSchema = Type.Object({
  salt: hex(32),
  state: Type.Union([
    Type.Literal("open"),
    Type.Literal("verifying"),
    Type.Literal("verified"),
    Type.Literal("agreed"),
  ]),
  firstIndex: count,
  sliceCount: count,
  manifestHash: hex(32),
  auditKeyHash: hex(32),
  expected: StreamBytesSchema,
  received: StreamBytesSchema,
  /** Slices whose tags have been checked so far in a running verification. */
  checkedSlices: count,
  expiresAt: seconds,
});
export type PreparationStatus = Static<typeof PreparationStatusSchema>;

/**
 * `PUT /v1/preparations/:salt/:part?offset=`: bytes appended to one stream. `offset` must be the `received` count of that
 * stream, else CONFLICT with `details.received`.
 */
export const PreparationPartParamsSchema = Type.Object({
  salt: hex(32),
  part: Type.Union([Type.Literal("powers-a"), Type.Literal("powers-b"), Type.Literal("tags")]),
});
export type PreparationPartParams = Static<typeof PreparationPartParamsSchema>;
export const PreparationPartQuerySchema = Type.Object({ offset: Type.Optional(count) });
export type PreparationPartQuery = Static<typeof PreparationPartQuerySchema>;

/**
 * `POST /v1/preparations/:salt/verify`: checks powers and tags. Answers 200 with state `verified`, or, when the check takes
 * longer than some seconds, 202 with state `verifying`: ask again. A check that fails is an INVALID_PROOF error and resets
 * the stream that failed to zero bytes received.
 */
export const VerifyResponseSchema = PreparationStatusSchema;
export type VerifyResponse = PreparationStatus;

/** `POST /v1/agreements`: accept the proposal `agreementId` on chain for what was prepared under `salt`. Idempotent. */
export const AcceptRequestSchema = Type.Object({ agreementId: uint256, salt: hex(32) }, closed);
export type AcceptRequest = Static<typeof AcceptRequestSchema>;
export const AcceptResponseSchema = Type.Object({
  agreementId: uint256,
  transactionHash: hex(32),
  blockNumber: count,
});
export type AcceptResponse = Static<typeof AcceptResponseSchema>;

export const AgreementParamsSchema = Type.Object({ agreementId: uint256 });
export type AgreementParams = Static<typeof AgreementParamsSchema>;

/** `GET /v1/agreements/:agreementId`: how the provider sees an agreement of the session's account. */
export const AgreementStatusSchema = Type.Object({
  agreementId: uint256,
  salt: hex(32),
  state: Type.Union([Type.Literal("accepting"), Type.Literal("active"), Type.Literal("ended")]),
  /** `damaged`: the last attempt to prove failed on this provider's own data. */
  health: Type.Union([Type.Literal("unknown"), Type.Literal("good"), Type.Literal("damaged")]),
  healthDetail: Type.Optional(Type.String()),
  manifestHash: hex(32),
  auditKeyHash: hex(32),
  firstIndex: count,
  sliceCount: count,
  provenEpochs: count,
  failedEpochs: count,
  lastProof: Type.Optional(
    Type.Object({ epoch: count, transactionHash: hex(32), blockNumber: count, gasUsed: uint256 }),
  ),
});
export type AgreementStatus = Static<typeof AgreementStatusSchema>;

/** `POST /v1/agreements/:agreementId/audit`: a private audit, for the account that made the agreement. */
export const AuditRequestSchema = Type.Object(
  { seed: hex(32), sampleCount: Type.Integer({ minimum: 1, maximum: MAX_AUDIT_SAMPLES }) },
  closed,
);
export type AuditRequest = Static<typeof AuditRequestSchema>;
/** `proof`: the encoded possession proof, without V and W. */
export const AuditResponseSchema = Type.Object({ proof: hexAtMost(1024) });
export type AuditResponse = Static<typeof AuditResponseSchema>;
