/** The HTTP messages of a verifier, which anybody may read. */

import * as Type from "@sinclair/typebox/type";
import { AddressText, Bytes32Text, HexRange, Uint256Text, UnixSeconds } from "./schema.ts";

const closed = { additionalProperties: false };

/** Most entries of one answer. */
export const MAXIMUM_VERIFIER_PAGE = 500;

const Count = Type.Integer({ minimum: 0 });
const OptionalEpoch = Type.Union([Count, Type.Null()]);

export const WarningText = Type.Union([Type.Literal("runway"), Type.Literal("notice"), Type.Literal("ended")]);

/** What checking a proof showed; see `CheckState` of the verifier. */
export const CheckText = Type.Union([
  Type.Literal("pending"),
  Type.Literal("valid"),
  Type.Literal("invalid"),
  Type.Literal("unreadable"),
  Type.Literal("by-others"),
]);

const summary = {
  id: Bytes32Text,
  user: AddressText,
  provider: AddressText,
  /** The zero address stands for the native coin. */
  token: AddressText,
  mode: Type.Union([Type.Literal("every-epoch"), Type.Literal("on-demand")]),
  status: Type.Union([Type.Literal("running"), Type.Literal("breached"), Type.Literal("closed")]),
  sliceCount: Count,
  liveBytes: Count,
  /** Of the last level of the schedule, in the token's smallest unit. */
  feePerEpoch: Uint256Text,
  firstEpoch: Count,
  /** Null while no end is known. */
  lastEpoch: OptionalEpoch,
  /** Epochs that the user's balance covers beyond the notice period; null when not known, or when nothing runs. */
  epochsBeyondNotice: Type.Union([Type.Integer(), Type.Null()]),
  warning: Type.Union([WarningText, Type.Null()]),
};

export const WatchedDataSet = Type.Object(summary);

export const WatchedDataSets = Type.Object({
  dataSets: Type.Array(WatchedDataSet),
  /** The `after` of the next page; null on the last one. */
  next: Type.Union([Bytes32Text, Type.Null()]),
});

export const WatchedDataSetsQuery = Type.Object(
  {
    /** Id of the last set of the page before. */
    after: Type.Optional(Bytes32Text),
    limit: Type.Optional(Type.String({ pattern: "^[1-9][0-9]{0,2}$" })),
    warning: Type.Optional(WarningText),
  },
  closed,
);

export const WatchedEpoch = Type.Object({
  epoch: Count,
  outcome: Type.Union([Type.Literal("proven"), Type.Literal("missed")]),
  transactionHash: Bytes32Text,
  /** Of a proof; null for a miss. */
  check: Type.Union([CheckText, Type.Null()]),
  /** Why a proof does not verify, or was not read. */
  reason: Type.Union([Type.String(), Type.Null()]),
});

export const WatchedDataSetAnswer = Type.Object({
  ...summary,
  /** The contract that judges proofs, and whether it is the one of this deployment. */
  verifier: AddressText,
  isOwnVerifier: Type.Boolean(),
  /** What a call about the set brings. */
  schedule: HexRange(0, 8192),
  ranges: HexRange(0, 1024),
  /** Newest first. */
  epochs: Type.Array(WatchedEpoch),
});

export const WatchedDataSetParams = Type.Object({ id: Bytes32Text }, closed);

export const AlarmsQuery = Type.Object(
  {
    /** Sequence number of the last alarm of the page before. */
    after: Type.Optional(Type.String({ pattern: "^(?:0|[1-9][0-9]{0,14})$" })),
    limit: Type.Optional(Type.String({ pattern: "^[1-9][0-9]{0,2}$" })),
  },
  closed,
);

/** A proof that the chain took and that does not verify. */
export const Alarm = Type.Object({
  sequence: Count,
  dataSet: Bytes32Text,
  epoch: Count,
  /** The contract that accepted the proof, and whether it is the one of this deployment. */
  verifier: AddressText,
  isOwnVerifier: Type.Boolean(),
  reason: Type.String(),
  transactionHash: Bytes32Text,
  blockNumber: Count,
  raisedAt: UnixSeconds,
});

export const AlarmsAnswer = Type.Object({
  alarms: Type.Array(Alarm),
  next: Type.Union([Count, Type.Null()]),
});
