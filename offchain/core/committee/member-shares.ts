/**
 * What a member keeps of a generation: its share of each key, under the name of committee, generation and position, so
 * that a share is never used as one of another generation.
 *
 *     shares   u8 version 1 ‖ scope (36) ‖ u32 generation ‖ u16 index ‖ per key: u8 purpose ‖ share (32)   (109 bytes)
 *
 * Secret: to be stored sealed. Erased when the next generation is active, because old shares are what a refresh makes
 * useless, as long as fewer than k of one generation are stolen.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes } from "#primitives";
import { u16be, u32be } from "../encoding/integers.ts";
import { InvalidInputError, UnknownVersionError } from "../errors.ts";
import { checkCanonicalScalar, multiplyBase, SCALAR_BYTES } from "../oprf/group.ts";
import { itemAt } from "../oprf/prime-order-group.ts";
import { purposeCode } from "./key-id.ts";
import { encodeScope } from "./messages.ts";
import {
  COMMITTEE_KEYS,
  type CommitteeGeneration,
  type CommitteeScope,
  checkIndex,
  type PerKey,
  perKey,
} from "./run.ts";

const VERSION = 1;
const NAME_BYTES = 43;
const KEY_BYTES = 1 + SCALAR_BYTES;

function nameOf(scope: CommitteeScope, generation: number, index: number): Uint8Array {
  return concatBytes(Uint8Array.of(VERSION), encodeScope(scope), u32be(generation), u16be(index));
}

export function encodeMemberShares(
  scope: CommitteeScope,
  generation: number,
  index: number,
  shares: PerKey<Uint8Array>,
): Uint8Array {
  const parts = COMMITTEE_KEYS.flatMap((purpose) => [Uint8Array.of(purposeCode(purpose)), shares[purpose]]);
  return concatBytes(nameOf(scope, generation, index), ...parts);
}

/**
 * Reads the shares of a member and checks them against the public keys of the generation.
 * @returns copies, which the caller wipes
 * @throws InvalidInputError when they are of another committee, generation or member, or not those of the public keys
 */
export function decodeMemberShares(
  scope: CommitteeScope,
  generation: CommitteeGeneration,
  index: number,
  bytes: Uint8Array,
): PerKey<Uint8Array> {
  checkIndex(index, generation.size, "member");
  if (bytes[0] !== undefined && bytes[0] !== VERSION) throw new UnknownVersionError("key shares", bytes[0], [VERSION]);
  const name = nameOf(scope, generation.generation, index);
  const purposesFit = COMMITTEE_KEYS.every(
    (purpose, at) => bytes[NAME_BYTES + at * KEY_BYTES] === purposeCode(purpose),
  );
  if (
    bytes.length !== NAME_BYTES + COMMITTEE_KEYS.length * KEY_BYTES ||
    !purposesFit ||
    !equalBytes(name, bytes.subarray(0, NAME_BYTES))
  ) {
    throw new InvalidInputError("key shares are not of this committee, generation and member", {
      check: "key shares",
      expected: `member ${index} of generation ${generation.generation}`,
    });
  }
  return perKey((purpose, at) => {
    const start = NAME_BYTES + at * KEY_BYTES + 1;
    const share = bytes.slice(start, start + SCALAR_BYTES);
    checkCanonicalScalar(share, `${purpose} key share`);
    const verificationShare = itemAt(generation.keys[purpose].verificationShares, index - 1);
    if (equalBytes(multiplyBase(share), verificationShare)) return share;
    share.fill(0);
    throw new InvalidInputError(`the ${purpose} key share is not that of its verification share`, {
      check: "key shares",
    });
  });
}
