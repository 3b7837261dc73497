/**
 * A member's part in opening a sealed secret: s_j·R with a proof that it was made with the share behind the member's
 * verification share. Any k of one generation combine to r·S.
 *
 *     share   u8 version 1 ‖ u64 committee ‖ u32 generation ‖ u16 index ‖ D_j (32) ‖ c (32) ‖ s (32)     (111 bytes)
 *     proof   of s_j with S_j = s_j·G and D_j = s_j·R, over the first 15 bytes ‖ name of the sealed secret
 *
 * k shares open the secret for whoever sees them: a member answers those that the secret's policy allows, and seals the
 * answer to them.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes } from "#primitives";
import { FIRST_GENERATION } from "../committee/key-id.ts";
import { counted } from "../encoding/counted.ts";
import { u16be, u32be, u64be } from "../encoding/integers.ts";
import { IntegrityError, InvalidInputError, TallystickError, UnknownVersionError } from "../errors.ts";
import { checkElement, checkScalar, ELEMENT_BYTES, multiply, multiplyBase, ristretto255Group } from "../oprf/group.ts";
import { itemAt } from "../oprf/prime-order-group.ts";
import { proveRelations, type RelationStatement, relationProofBytes, verifyRelations } from "../oprf/relation-proof.ts";
import { type IndexedElement, interpolateElements } from "../oprf/threshold.ts";
import { blameOn } from "./blame.ts";
import { type CheckedSecret, openWith } from "./sealed-secret.ts";

const VERSION = 1;
const HEAD_BYTES = 15;
const PROOF_BYTES = relationProofBytes(1);
export const DECRYPTION_SHARE_BYTES = HEAD_BYTES + ELEMENT_BYTES + PROOF_BYTES;

/** What is public about a committee's record key in one generation, checked by `verifyCommitteeKeys`. */
export interface RecordKeys {
  readonly committeeId: bigint;
  readonly generation: number;
  readonly threshold: number;
  readonly groupPublicKey: Uint8Array;
  /** Of members 1 … n, in order. */
  readonly verificationShares: Uint8Array[];
}

export interface OpenedSecret {
  readonly payload: Uint8Array;
  /** What was wrong with shares that were left out, by the index they came under. */
  readonly faults: ReadonlyMap<number, TallystickError>;
}

/**
 * Makes a member's share. The secret has passed `checkSealed`: an unchecked one cannot be handed in.
 *
 * @param index of the member, from 1
 * @param keyShare s_j of the record key, 32 bytes
 * @throws InvalidInputError when the secret was sealed to another committee, or the key share is not the member's
 */
export function decryptionShare(
  secret: CheckedSecret,
  keys: RecordKeys,
  index: number,
  keyShare: Uint8Array,
): Uint8Array {
  requireCommittee(secret, keys);
  const verificationShare = verificationShareOf(keys, index);
  checkScalar(keyShare, "record key share");
  if (!equalBytes(multiplyBase(keyShare), verificationShare)) {
    throw new InvalidInputError("the record key share is not that of the verification share", { check: "key share" });
  }
  const head = headOf(keys, index);
  const element = multiply(keyShare, secret.element);
  const proof = proveRelations(statementOf(secret, head, verificationShare, element), [keyShare]);
  return concatBytes(head, element, proof);
}

/**
 * Checks a member's share.
 *
 * @param index of the member that sent it
 * @returns D_j
 * @throws TallystickError UNKNOWN_VERSION, INTEGRITY, INVALID_POINT or INVALID_PROOF naming the member
 * @throws InvalidInputError when there is no such member, or the secret was sealed to another committee
 */
export function verifyDecryptionShare(
  secret: CheckedSecret,
  keys: RecordKeys,
  index: number,
  share: Uint8Array,
): Uint8Array {
  requireCommittee(secret, keys);
  const verificationShare = verificationShareOf(keys, index);
  return blameOn(`member ${index}`, () => {
    checkLayout(headOf(keys, index), share);
    const head = share.subarray(0, HEAD_BYTES);
    const element = share.slice(HEAD_BYTES, HEAD_BYTES + ELEMENT_BYTES);
    checkElement(element, "decryption share");
    const proof = share.subarray(HEAD_BYTES + ELEMENT_BYTES);
    verifyRelations(statementOf(secret, head, verificationShare, element), proof);
    return element;
  });
}

/**
 * Opens a secret with the shares of any k members. Wrong ones are named and left out.
 *
 * @param shares by the index of the member that sent it
 * @throws TallystickError SHARES_MISSING with the right and wrong indices in `details` when fewer than k are right
 * @throws TallystickError INTEGRITY naming the author when the secret does not open
 */
export function openSecret(
  secret: CheckedSecret,
  keys: RecordKeys,
  shares: ReadonlyMap<number, Uint8Array>,
): OpenedSecret {
  const { right, faults } = sortShares(secret, keys, shares);
  if (right.length < keys.threshold) {
    const wrong = [...faults.keys()];
    const blame = wrong.length > 0 ? `; wrong shares: ${wrong.join(", ")}` : "";
    throw new TallystickError(
      `${counted(right.length, "right decryption share")} of ${keys.threshold} needed${blame}`,
      {
        code: "SHARES_MISSING",
        check: "decryption shares",
        expected: `${keys.threshold} right shares`,
        received: `${right.length} right, ${wrong.length} wrong`,
        details: {
          right: right.map(({ index }) => index),
          wrong,
          faults: [...faults.values()].map(({ message }) => message),
        },
      },
    );
  }
  // Any k right shares give the same element; more of them only cost time.
  const sharedElement = interpolateElements(ristretto255Group, right.slice(0, keys.threshold), 0);
  try {
    return { payload: openWith(secret, sharedElement), faults };
  } finally {
    sharedElement.fill(0);
  }
}

function sortShares(secret: CheckedSecret, keys: RecordKeys, shares: ReadonlyMap<number, Uint8Array>) {
  requireCommittee(secret, keys);
  const right: IndexedElement<Uint8Array>[] = [];
  const faults = new Map<number, TallystickError>();
  for (const [index, share] of shares) {
    verificationShareOf(keys, index);
    try {
      right.push({ index, element: verifyDecryptionShare(secret, keys, index, share) });
    } catch (fault) {
      if (!(fault instanceof TallystickError) || fault.party !== `member ${index}`) throw fault;
      faults.set(index, fault);
    }
  }
  return { right, faults };
}

function headOf({ committeeId, generation }: RecordKeys, index: number): Uint8Array {
  return concatBytes(Uint8Array.of(VERSION), u64be(committeeId), u32be(generation), u16be(index));
}

function checkLayout(head: Uint8Array, share: Uint8Array): void {
  const [version] = share;
  if (version !== undefined && version !== VERSION)
    throw new UnknownVersionError("decryption share", version, [VERSION]);
  if (share.length !== DECRYPTION_SHARE_BYTES) {
    throw new IntegrityError(`decryption share has ${share.length} bytes`, {
      check: "length of the decryption share",
      expected: `${DECRYPTION_SHARE_BYTES} bytes`,
      received: `${share.length} bytes`,
    });
  }
  if (equalBytes(head, share.subarray(0, HEAD_BYTES))) return;
  throw new IntegrityError("decryption share is of another committee, generation or member", {
    check: "head of the decryption share",
  });
}

function verificationShareOf({ verificationShares, generation }: RecordKeys, index: number): Uint8Array {
  if (!Number.isInteger(index) || index < 1 || index > verificationShares.length) {
    throw new InvalidInputError(`there is no member ${index} in generation ${generation}`, {
      check: "member index",
      expected: `1 to ${verificationShares.length}`,
      received: String(index),
    });
  }
  return itemAt(verificationShares, index - 1);
}

function requireCommittee({ groupKey }: CheckedSecret, keys: RecordKeys): void {
  if (keys.generation < FIRST_GENERATION) {
    throw new InvalidInputError("a committee without keys opens nothing", { check: "generation" });
  }
  if (equalBytes(groupKey, keys.groupPublicKey)) return;
  throw new InvalidInputError("the secret was sealed to another committee", { check: "record key of the committee" });
}

/** s_j with S_j = s_j·G and D_j = s_j·R. */
function statementOf(
  { name, element: r }: CheckedSecret,
  head: Uint8Array,
  verificationShare: Uint8Array,
  element: Uint8Array,
): RelationStatement {
  const relations = [[{ element: verificationShare }, { base: r, element }]];
  return { label: "decryption-share", context: concatBytes(head, name), relations };
}
