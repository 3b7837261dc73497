/**
 * The wire format between an agent and a storage provider: TypeBox schemas (JSON Schema draft 7 subset) and the types
 * they stand for. The provider validates requests with them, the agent validates answers with them, so both sides read
 * one text.
 *
 * Encodings: byte strings are lower-case `0x` hex; big integers are decimal strings; times are
 * unix seconds; chunk ids are CIDv1 (raw, sha2-256, base32). Requests refuse unknown fields; answers may gain fields.
 */
import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { CHALLENGE_ANSWER_BYTES, CHALLENGE_NONCE_BYTES, CHALLENGE_PLACES } from "../crypto/ownership-challenge.ts";
import { AddressText, ContentIdText, HexBytes, Uint256Text, UnixSeconds } from "./schema.ts";

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
/** Largest body of a piece of powers or tags. */
export const MAX_STREAM_PIECE_BYTES = 8 * 1024 * 1024;
/** Largest encoded manifest. */
export const MAX_MANIFEST_BYTES = 16 * 1024 * 1024;
/** Most slices a private audit may sample. */
export const MAX_AUDIT_SAMPLES = 4096;
/** The type of bodies that are one stream of bytes: objects, heads, powers, manifests, tags. */
export const OCTET_STREAM = "application/octet-stream";
/** The type of a body of chunk frames, see `http/chunk-frames.ts`. */
export const CHUNK_FRAMES = "application/vnd.tallystick.chunk-frames";

const closed = { additionalProperties: false } as const;
const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/** A price in one token. `token` is the zero address for the native coin. Amounts are in the token's smallest unit. */
export const TokenPrice = Type.Object({
  token: AddressText,
  /** Price of one GiB (2^30 bytes of slices, padding included) for one epoch. */
  pricePerGibEpoch: Uint256Text,
  /** No data set pays less than this per epoch: a proof costs the same gas however small the data is. */
  minimumFeePerEpoch: Uint256Text,
});
export type TokenPrice = Static<typeof TokenPrice>;

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
 * Running data sets keep theirs.
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
  /** Nothing of it is paid for: all of it is released then, unless a data set covers some of it before. */
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

/** Where a piece of a stream begins: the bytes received so far, else CONFLICT with `details.received`. */
export const StreamQuery = Type.Object(
  { offset: Type.Optional(Type.String({ pattern: "^(?:0|[1-9][0-9]{0,14})$" })) },
  closed,
);
export type StreamQuery = Static<typeof StreamQuery>;
