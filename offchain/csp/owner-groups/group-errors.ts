/** What the provider refuses about ownership groups. */
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import { MAX_GROUP_MEMBERS, MEMBER_SECRET_CHECK } from "../../core/wire/owner-groups.ts";

/** Also to those that are no members, or not the founder: to them the group does not exist. */
export function noGroup(): TallystickError {
  return new TallystickError("there is no such ownership group for the account", {
    code: "NOT_FOUND",
    party: "client",
    check: "ownership group",
    hint: "the account is not in the group, is not its founder, or the group was closed",
  });
}

export function noMember(account: string): TallystickError {
  return new TallystickError("the account never was in the group", {
    code: "NOT_FOUND",
    party: "client",
    check: "member of the group",
    received: account,
    hint: "`tallystick owners list` names the members",
  });
}

/** @param ids that were not proven */
export function notProven(ids: readonly string[]): TallystickError {
  return new TallystickError("the account has not proven that it owns the put", {
    code: "NOT_OWNER",
    party: "client",
    check: "proof of ownership",
    expected: "all objects that the group names",
    received: `no proof of ${ids.length}, the first ${ids[0] ?? ""}`,
    hint: "put the same files with --revocable, then join again",
  });
}

export function mayNotRejoin(): TallystickError {
  return new TallystickError("the account was revoked from the group", {
    code: "NOT_OWNER",
    party: "client",
    check: "policy for revoked owners",
    expected: "that the founder lifts the revocation",
    hint: "ask the founder for `tallystick owners readmit`, then join again",
  });
}

export function inAnotherGroup(): TallystickError {
  return new TallystickError("the account is in another ownership group of the put", {
    code: "CONFLICT",
    party: "client",
    check: "ownership group of the put",
    hint: "leave that group first: `tallystick owners leave`",
  });
}

export function nonceTaken(): TallystickError {
  return new TallystickError("a group with this nonce exists", {
    code: "CONFLICT",
    party: "client",
    check: "nonce of the group",
    hint: "draw another nonce",
  });
}

export function founderStays(): TallystickError {
  return new TallystickError("the founder cannot leave the group", {
    code: "CONFLICT",
    party: "client",
    check: "founder of the group",
    hint: "close the group: `tallystick owners close`",
  });
}

/** Of a member that took the place of its predecessor. The agent tells the secret then. */
export function noSecretYet(): TallystickError {
  return new TallystickError("the account has taken its predecessor's place and told no secret yet", {
    code: "CONFLICT",
    party: "client",
    check: MEMBER_SECRET_CHECK,
    expected: "a secret that the account shares with the provider",
    received: "none",
    hint: "tell it: POST /v1/owner-groups/{id}/secret",
  });
}

export function hasSecret(): TallystickError {
  return new TallystickError("the account shares another secret with the provider already", {
    code: "CONFLICT",
    party: "client",
    check: MEMBER_SECRET_CHECK,
    hint: "to change it, join again with a proof of ownership",
  });
}

export function full(): TallystickError {
  return new TallystickError("the ownership group is full", {
    code: "CONFLICT",
    party: "client",
    check: "number of members",
    expected: `at most ${MAX_GROUP_MEMBERS}`,
  });
}

export function tooManyRevoked(): TallystickError {
  return new TallystickError("the group remembers too many revoked accounts", {
    code: "CONFLICT",
    party: "client",
    check: "number of revoked accounts",
    hint: "readmit some of them, or close the group and found another",
  });
}

export function noGroupStubFile(): TallystickError {
  return new TallystickError("the group has no stub file", {
    code: "NOT_FOUND",
    party: "client",
    check: "stub file of the group",
    hint: "its founder stores it: `tallystick owners create` completes what was interrupted",
  });
}

/** The database was opened with a keystore that is not its own. */
export function ofAnotherKeystore(groupId: string): IntegrityError {
  return new IntegrityError("the provider's keystore is not that of this ownership group", {
    party: "provider",
    check: "manager of the group",
    received: groupId,
    hint: "the operator starts the provider with the keystore that belongs to its database",
  });
}

export function busy(): TallystickError {
  return new TallystickError("others keep changing the ownership group", {
    code: "CONFLICT",
    party: "provider",
    check: "epoch of the group",
    hint: "repeat the request; nothing of it was done",
    retryable: true,
    retryAfterSeconds: 1,
  });
}

/** A member that has joined reads the group's stub file, and has none of its own. */
export function memberHasNone(): TallystickError {
  return new TallystickError("the account is in an ownership group of this put, and has no stub file of its own", {
    code: "CONFLICT",
    party: "client",
    check: "ownership group of the put",
    hint: "leave the group first: `tallystick owners leave`",
  });
}
