/**
 * The wire format of data sets between an agent and a storage provider. Conventions as in `csp.ts`.
 *
 * A data set is named by its salt, 32 bytes that the device draws. Its content arrives in **segments**: what one put
 * adds, a run of new slice indices, named by an id that the device draws as well. The device sends key, powers, and
 * per segment the manifest and the tags, has the segment verified, and then proposes a state that includes it.
 */
import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { DATA_SET_MODES } from "../data-set/terms.ts";
import { TokenPrice } from "./csp.ts";
import { AddressText, HexBytes, HexRange, SignatureText, Uint64Text, Uint256Text, UnixSeconds } from "./schema.ts";

const closed = { additionalProperties: false } as const;
const uint = (bits: number, minimum = 0) => Type.Integer({ minimum, maximum: 2 ** bits - 1 });
const index = Type.Integer({ minimum: 1, maximum: 2 ** 48 - 2 });
const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
/** A packed list of live ranges: `core/data-set/ranges.ts`. */
const RangesText = HexRange(0, 32 * 12);
const POINT_G2_BYTES = 256;

/** What a provider asks for data sets in one token, in its smallest unit. */
export const DataSetPrice = Type.Object({
  ...TokenPrice.properties,
  /** For an epoch and an index that was ever in the set: what proving costs grows with the highest one. */
  pricePerIndexEpoch: Uint256Text,
  /** What a dispute costs its author when the provider answers it. */
  disputeBond: Uint256Text,
});
export type DataSetPrice = Static<typeof DataSetPrice>;

/** `GET /v1/data-set-offer`: the terms of data sets that the provider accepts; see `core/data-set/offer.ts`. */
export const DataSetOffer = Type.Object({
  version: Type.Literal(1),
  /** Owner of the collateral, whom the terms name; the audience of sessions. */
  account: AddressText,
  chainId: count,
  escrow: AddressText,
  /** Verifiers and sources of randomness that it accepts, the preferred one first. */
  verifiers: Type.Array(AddressText, { minItems: 1 }),
  randomness: Type.Array(AddressText, { minItems: 1 }),
  prices: Type.Array(DataSetPrice, { minItems: 1 }),
  modes: Type.Array(Type.Union(DATA_SET_MODES.map((mode) => Type.Literal(mode))), { minItems: 1 }),
  /** The most it grants, in percent of the fee: for a miss to the user, and to whoever reports it. */
  compensationPercent: uint(16, 1),
  bountyPercent: uint(16),
  /** The least of the fee that a late proof must earn, in percent. */
  latePercent: Type.Integer({ minimum: 0, maximum: 100 }),
  /** Exactly this. */
  breachLimit: uint(8, 1),
  /** At least so many blocks. */
  windowBlocks: uint(32, 1),
  graceBlocks: uint(32),
  /** At most so many draws. */
  sampleCount: Type.Integer({ minimum: 1, maximum: 4096 }),
  /** Elements of a slice that it takes, ascending. */
  sliceElements: Type.Array(Type.Integer({ minimum: 1024, maximum: 65_536 }), { minItems: 1 }),
  /** Highest index in one data set. */
  maximumIndex: index,
  /** X25519: what challenges of private audits are sealed to, and the operator's signature of it (EIP-712). */
  challengeKey: HexBytes(32),
  challengeKeySignature: SignatureText,
});
export type DataSetOffer = Static<typeof DataSetOffer>;

export const DataSetParams = Type.Object({ salt: HexBytes(32) });
export type DataSetParams = Static<typeof DataSetParams>;

/**
 * `PUT /v1/data-sets/:salt`: begins a data set, or finds it again. Another key or slice size under a known salt is a
 * CONFLICT.
 */
export const BeginDataSetRequest = Type.Object(
  {
    key: Type.Object(
      { X: HexBytes(POINT_G2_BYTES), XA: HexBytes(POINT_G2_BYTES), XB: HexBytes(POINT_G2_BYTES) },
      closed,
    ),
    sliceElements: Type.Integer({ minimum: 1024, maximum: 65_536 }),
  },
  closed,
);
export type BeginDataSetRequest = Static<typeof BeginDataSetRequest>;

/** Answer to `PUT` and `GET /v1/data-sets/:salt`, and to each part of the powers. */
export const DataSetStatus = Type.Object({
  salt: HexBytes(32),
  auditKeyHash: HexBytes(32),
  sliceElements: uint(32),
  /** Challenge block within an epoch, which the provider assigns. */
  phase: uint(32),
  /** `opening`: the first state is signed, its transaction may be under way. */
  state: Type.Union([
    Type.Literal("preparing"),
    Type.Literal("opening"),
    Type.Literal("running"),
    Type.Literal("ended"),
  ]),
  /** On chain, from `opening` on. */
  id: Type.Optional(HexBytes(32)),
  /** Bytes received of the powers of α, complete at 96 for each element of a slice. */
  powersABytes: count,
  /** Bytes received of the powers of β, from β¹ on. A segment needs those up to its last index. */
  powersBBytes: count,
  /** The newest state that both parties signed; absent before the first. */
  version: Type.Optional(Uint64Text),
  ranges: Type.Optional(RangesText),
  contentHash: Type.Optional(HexBytes(32)),
  /** `damaged`: the last attempt to prove failed on this provider's own data. */
  health: Type.Union([Type.Literal("unknown"), Type.Literal("good"), Type.Literal("damaged")]),
  healthDetail: Type.Optional(Type.String()),
  provenEpochs: count,
  failedEpochs: count,
  lastProof: Type.Optional(
    Type.Object({ epoch: count, transactionHash: HexBytes(32), blockNumber: count, gasUsed: Uint256Text }),
  ),
  /** A data set that is not opened is removed then. */
  expiresAt: Type.Optional(UnixSeconds),
});
export type DataSetStatus = Static<typeof DataSetStatus>;

/** `PUT /v1/data-sets/:salt/:part?offset=`: bytes appended to the powers; CONFLICT with `details.received` as usual. */
export const PowersParams = Type.Object({
  salt: HexBytes(32),
  part: Type.Union([Type.Literal("powers-a"), Type.Literal("powers-b")]),
});
export type PowersParams = Static<typeof PowersParams>;

export const SegmentParams = Type.Object({ salt: HexBytes(32), segment: HexBytes(32) });
export type SegmentParams = Static<typeof SegmentParams>;

/**
 * `PUT /v1/data-sets/:salt/segments/:segment?firstIndex=` (octet-stream): begins a segment, or finds it again. The body
 * is the manifest hash (32) ‖ the seed of the commitments (32) ‖ the encoded manifest; hash and seed come first, so
 * that a provider that knows the segment answers without reading the manifest. `firstIndex` lies behind every index
 * that was given to another segment.
 */
export const SegmentQuery = Type.Object({ firstIndex: Type.String({ pattern: "^[1-9][0-9]{0,14}$" }) }, closed);
export type SegmentQuery = Static<typeof SegmentQuery>;

/** Answer to `PUT` and `GET`, to each part of the tags, and to `POST …/verify` (200 `verified`, 202 `verifying`). */
export const SegmentStatus = Type.Object({
  segment: HexBytes(32),
  /** `included`: a signed state has it. */
  state: Type.Union([
    Type.Literal("open"),
    Type.Literal("verifying"),
    Type.Literal("verified"),
    Type.Literal("included"),
  ]),
  firstIndex: index,
  sliceCount: count,
  manifestHash: HexBytes(32),
  /** Over the commitments to its slices; what a state says of the segment includes it. */
  commitmentsRoot: HexBytes(32),
  tagsExpectedBytes: count,
  tagsBytes: count,
  /** Slices whose tags have been checked so far in a running verification. */
  checkedSlices: count,
  expiresAt: UnixSeconds,
});
export type SegmentStatus = Static<typeof SegmentStatus>;

/** The next state of a data set, signed by the user: `DataSetUpdate` of `core/identity/typed-messages.ts`. */
const signedState = {
  version: Uint64Text,
  /** Retirements on chain so far. */
  retirements: uint(32),
  ranges: RangesText,
  contentHash: HexBytes(32),
  deadlineBlock: count,
  userSignature: SignatureText,
};

/**
 * `POST /v1/data-sets/:salt/updates`: the provider checks the state, signs it, keeps both signatures, and sends it.
 * Idempotent for one version. Every segment that the ranges name must be verified.
 */
export const UpdateRequest = Type.Object(signedState, closed);
export type UpdateRequest = Static<typeof UpdateRequest>;

const amount = Uint256Text;
const DataSetTermsText = Type.Object(
  {
    user: AddressText,
    provider: AddressText,
    token: AddressText,
    mode: Type.Union(DATA_SET_MODES.map((mode) => Type.Literal(mode))),
    feeFloor: amount,
    feePerSlice: amount,
    feePerIndex: amount,
    feeCap: amount,
    collateralPercent: uint(32),
    compensationPercent: uint(16),
    bountyPercent: uint(16),
    latePercent: uint(16),
    breachLimit: uint(8),
    auditHash: HexBytes(32),
  },
  closed,
);
const DataSetAuditTermsText = Type.Object(
  {
    randomness: AddressText,
    verifier: AddressText,
    keyHash: HexBytes(32),
    sliceElements: uint(32),
    sampleCount: uint(16),
    phase: uint(32),
    windowBlocks: uint(32),
    graceBlocks: uint(32),
    disputeBond: amount,
    predecessor: HexBytes(32),
    salt: HexBytes(32),
  },
  closed,
);

/** `POST /v1/data-sets/:salt/open`: the terms and the first state. The user's balance must cover it. */
export const OpenDataSetRequest = Type.Object(
  { terms: DataSetTermsText, audit: DataSetAuditTermsText, first: UpdateRequest },
  closed,
);
export type OpenDataSetRequest = Static<typeof OpenDataSetRequest>;

/**
 * The provider's signature of the state. The transaction is absent when it could not be sent or was not mined in time,
 * and always when the user's signature is not one of the account's key but of a contract wallet: then the user may send
 * the state, signed by both, itself.
 */
export const UpdateAnswer = Type.Object({
  id: HexBytes(32),
  version: Uint64Text,
  providerSignature: SignatureText,
  transaction: Type.Optional(Type.Object({ hash: HexBytes(32), blockNumber: count })),
  /** Instead of a transaction: by this block the provider sends the newest state that it has signed. */
  waitsUntilBlock: Type.Optional(count),
});
export type UpdateAnswer = Static<typeof UpdateAnswer>;

/**
 * `POST /v1/data-sets/:salt/audit`: a challenge about slices that the set holds, sealed to the key of the offer, so
 * that nobody but the provider learns it (`core/data-set/sealed-challenge.ts`).
 */
export const DataSetAuditRequest = Type.Object({ sealed: HexRange(1, 1024) }, closed);
export type DataSetAuditRequest = Static<typeof DataSetAuditRequest>;

/** The encoded proof. The signature, of the provider over challenge and proof, is absent before the set is opened. */
export const DataSetAuditAnswer = Type.Object({ proof: HexRange(1, 1024), signature: Type.Optional(SignatureText) });
export type DataSetAuditAnswer = Static<typeof DataSetAuditAnswer>;

/** Most commitments that one request opens. */
export const MAX_OPENINGS = 64;
/** Most pieces of slices in one answer, and segments. */
export const MAX_OPENED_PIECES = 16_384;
export const MAX_CHAINED_SEGMENTS = 65_536;

/**
 * `POST /v1/data-sets/:salt/openings`: opens commitments that are in a state with this content hash. The slices must be
 * held.
 */
export const OpeningsRequest = Type.Object(
  { contentHash: HexBytes(32), indices: Type.Array(index, { minItems: 1, maxItems: MAX_OPENINGS, uniqueItems: true }) },
  closed,
);
export type OpeningsRequest = Static<typeof OpeningsRequest>;

/** `before` is the content hash before the first segment of the list, which holds all that follow in the state. */
export const OpeningsAnswer = Type.Object({
  before: HexBytes(32),
  segments: Type.Array(
    Type.Object({ firstIndex: index, sliceCount: count, manifestHash: HexBytes(32), commitmentsRoot: HexBytes(32) }),
    { minItems: 1, maxItems: MAX_CHAINED_SEGMENTS },
  ),
  /** In the order of the request. */
  slices: Type.Array(
    Type.Object({
      index,
      blinding: HexBytes(32),
      pieces: Type.Array(Type.Object({ digest: HexBytes(32), offsetBytes: uint(32), lengthBytes: uint(32, 1) }), {
        minItems: 1,
        maxItems: MAX_OPENED_PIECES,
      }),
      path: Type.Array(HexBytes(32), { maxItems: 48 }),
    }),
    { minItems: 1, maxItems: MAX_OPENINGS },
  ),
});
export type OpeningsAnswer = Static<typeof OpeningsAnswer>;
