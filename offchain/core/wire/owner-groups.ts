/**
 * Wire format of ownership groups, which a provider manages: the founder of a group shares the stub file of one put
 * with the owners that join it. `core/revocable/` says what rekey messages, paths and stub files hold.
 *
 * An id of a group cannot be guessed. Who does not know it, and is no member, learns of no group.
 *
 * `GET /v1/owner-groups/{id}/stub-file`, for members: the stub file, wrapped under the group key (octet-stream).
 * `PUT …/stub-file?expected=e`, of the founder: as that of an account's own stub file (`stub-files.ts`), and the
 * founder's own is removed.
 */
import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { CHALLENGE_ANSWER_BYTES } from "../crypto/ownership-challenge.ts";
import { MAX_CHUNK_BYTES, MAX_CLAIM_CHUNKS } from "./csp.ts";
import { AddressText, Bytes32Text, ContentIdText, HexBytes, UnixSeconds } from "./schema.ts";

const closed = { additionalProperties: false };

/** Most owners of a group at a provider. */
export const MAX_GROUP_MEMBERS = 4096;
/** Rekey messages that a provider keeps of a group; who has missed more asks for its path. */
export const KEPT_REKEYS = 64;
/** Members that one answer lists. */
export const MEMBERS_PER_PAGE = 1000;

const Epoch = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
/** Objects that a joining account proves: the root of the put, and a sample of its other objects. */
const ProvenObjects = Type.Array(
  Type.Object({ id: ContentIdText, sizeBytes: Type.Integer({ minimum: 1, maximum: MAX_CHUNK_BYTES }) }, closed),
  { minItems: 1, maxItems: MAX_CLAIM_CHUNKS },
);

/**
 * How an owner that was revoked comes back: `proof`, by proving ownership again; `founder`, by that as well, but only
 * once the founder has lifted the revocation.
 */
export const RejoinPolicy = Type.Union([Type.Literal("proof"), Type.Literal("founder")]);
export type RejoinPolicy = Static<typeof RejoinPolicy>;

/**
 * `POST /v1/owner-groups`: founds a group. The account owns all objects that it names. The same request again answers
 * with the group that is there.
 */
export const FoundGroupRequest = Type.Object(
  {
    dataId: ContentIdText,
    /** Drawn by the founder; no other of its groups has it. */
    nonce: Bytes32Text,
    /** That the founder shares with the provider as manager of the group. */
    secret: Bytes32Text,
    rejoin: RejoinPolicy,
    objects: ProvenObjects,
  },
  closed,
);
export type FoundGroupRequest = Static<typeof FoundGroupRequest>;

/** A group as a member sees it. */
export const OwnerGroupAnswer = Type.Object({
  groupId: Bytes32Text,
  dataId: ContentIdText,
  /** Ed25519 public key, and the nonce that makes the id of it. */
  managerKey: Bytes32Text,
  nonce: Bytes32Text,
  founder: AddressText,
  rejoin: RejoinPolicy,
  epoch: Epoch,
  members: Type.Integer({ minimum: 1, maximum: MAX_GROUP_MEMBERS }),
});
export type OwnerGroupAnswer = Static<typeof OwnerGroupAnswer>;

export const GroupParams = Type.Object({ groupId: Bytes32Text }, closed);
export type GroupParams = Static<typeof GroupParams>;

/** `GET /v1/owner-groups?dataId=`: the group of this put in which the account is, or 404. */
export const GroupOfPutQuery = Type.Object({ dataId: ContentIdText }, closed);
export type GroupOfPutQuery = Static<typeof GroupOfPutQuery>;

/** `GET /v1/owner-groups/{id}/proof`: what to claim (`POST /v1/claims`) to join; for whoever knows the id. */
export const GroupProofAnswer = Type.Object({
  dataId: ContentIdText,
  managerKey: Bytes32Text,
  nonce: Bytes32Text,
  objects: ProvenObjects,
});
export type GroupProofAnswer = Static<typeof GroupProofAnswer>;

/**
 * `POST /v1/owner-groups/{id}/join`: the answers to a claim of all proven objects, and the secret. A stub file that the
 * account has of the put stays until it completes the join.
 */
export const JoinGroupRequest = Type.Object(
  {
    claimId: HexBytes(16),
    answers: Type.Array(HexBytes(CHALLENGE_ANSWER_BYTES), { minItems: 1, maxItems: MAX_CLAIM_CHUNKS }),
    secret: Bytes32Text,
  },
  closed,
);
export type JoinGroupRequest = Static<typeof JoinGroupRequest>;

/** Name of the check that a member without a secret fails when it asks for its path. */
export const MEMBER_SECRET_CHECK = "secret of the member";

/**
 * `POST …/secret`, of a member that took the place of its predecessor: the secret that it shares with the provider from
 * here on. The same secret again changes nothing; another one is refused.
 */
export const GroupSecretRequest = Type.Object({ secret: Bytes32Text }, closed);
export type GroupSecretRequest = Static<typeof GroupSecretRequest>;

/** `POST …/revoke` and `…/readmit`, of the founder: whom. `POST …/leave`, `…/complete` and `…/close` have no body. */
export const GroupMemberRequest = Type.Object({ account: AddressText }, closed);
export type GroupMemberRequest = Static<typeof GroupMemberRequest>;

/** What a change came to. Repeated, it changes nothing, and `messages` is 0. */
export const GroupChangeAnswer = Type.Object({
  epoch: Epoch,
  members: Type.Integer({ minimum: 1, maximum: MAX_GROUP_MEMBERS }),
  /** Keys that were sealed in rekey messages. */
  messages: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  /** Bytes of rekey messages and of the rows of the key tree that were written. */
  rewrittenBytes: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
});
export type GroupChangeAnswer = Static<typeof GroupChangeAnswer>;

/**
 * `POST …/complete`, of a member that has compared the group's stub file with its own: its own is removed, and it reads
 * the group's from here on. Repeated, it changes nothing. 404 while the group has no stub file.
 */
export const GroupCompletedAnswer = Type.Object({ completed: Type.Boolean() });
export type GroupCompletedAnswer = Static<typeof GroupCompletedAnswer>;

/** `POST …/close`: the group is gone, with all that belongs to it. */
export const GroupClosedAnswer = Type.Object({ closed: Type.Boolean() });
export type GroupClosedAnswer = Static<typeof GroupClosedAnswer>;

/**
 * `GET …/members?after=`, for the founder: owners by account, the revoked ones among them. A member is `joining` while
 * it has a stub file of its own as well, which it keeps when it is revoked.
 */
export const GroupMembersQuery = Type.Object({ after: Type.Optional(AddressText) }, closed);
export type GroupMembersQuery = Static<typeof GroupMembersQuery>;

export const GroupMembersAnswer = Type.Object({
  members: Type.Array(
    Type.Object({
      account: AddressText,
      state: Type.Union([Type.Literal("joining"), Type.Literal("member"), Type.Literal("revoked")]),
      /** When it joined, or was revoked. */
      since: UnixSeconds,
    }),
    { maxItems: MEMBERS_PER_PAGE },
  ),
});
export type GroupMembersAnswer = Static<typeof GroupMembersAnswer>;

/**
 * For members, as octet-stream: `GET …/path`, the way of the account through the tree, and `GET …/rekeys/{epoch}`, the
 * message that leads to the epoch, or 404 for one that is not kept.
 */
export const RekeyParams = Type.Object(
  { groupId: Bytes32Text, epoch: Type.String({ pattern: "^[1-9][0-9]{0,15}$" }) },
  closed,
);
export type RekeyParams = Static<typeof RekeyParams>;
