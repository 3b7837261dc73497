/**
 * A run makes one generation of a committee's keys, all of them at once. Its dealers are the new members themselves
 * when there is no key yet (key generation), or the members of an earlier generation (handover): the same members with
 * the same threshold (refresh), or others with another one (resharing). What a run is about is public, and the same at
 * every party; its messages name it in their heads (messages.ts).
 *
 * A number of a generation is used once: a run that fails leaves a gap, so that shares of two runs never have one name.
 */

import { ADDRESS_BYTES } from "../encoding/address.ts";
import { fromHex } from "../encoding/hex.ts";
import { InvalidInputError } from "../errors.ts";
import { assertGroupReady, ristretto255Group } from "../oprf/group.ts";
import { verifyCommitteeKeys } from "../oprf/threshold.ts";
import { checkGenerationId, FIRST_GENERATION, type KeyPurpose } from "./key-id.ts";

/** Most members of a generation here; the registry allows fewer. */
export const MAX_COMMITTEE_SIZE = 255;

/** The keys that every committee has, in the order of all layouts. */
export const COMMITTEE_KEYS = ["oprf", "record"] as const satisfies readonly KeyPurpose[];

/** One value per key of a committee. */
export type PerKey<T> = Readonly<Record<KeyPurpose, T>>;

/** A value for each key of a committee. */
export function perKey<T>(make: (purpose: KeyPurpose, position: number) => T): PerKey<T> {
  const [oprf, record] = COMMITTEE_KEYS;
  return { oprf: make(oprf, 0), record: make(record, 1) };
}

/** What is public about one key in one generation. */
export interface PublicKeys {
  /** s·G, the same in all generations. */
  readonly groupPublicKey: Uint8Array;
  /** s_i·G of members 1 … n, in order. */
  readonly verificationShares: Uint8Array[];
}

/** What is public about a generation. */
export interface CommitteeGeneration {
  readonly generation: number;
  readonly size: number;
  readonly threshold: number;
  readonly keys: PerKey<PublicKeys>;
}

/** Which committee. */
export interface CommitteeScope {
  readonly chainId: bigint;
  /** Address of NodeRegistry. */
  readonly registry: string;
  readonly committeeId: bigint;
}

export interface RunParameters extends CommitteeScope {
  /** The generation that is made. */
  readonly generation: number;
  /** n, the number of members of that generation. */
  readonly size: number;
  /** k, how many of them use a key. */
  readonly threshold: number;
  /** The generation whose members deal; absent in key generation. */
  readonly previous?: CommitteeGeneration;
}

/** Checked parameters, with what follows from them. */
export class CommitteeRun {
  readonly scope: CommitteeScope;
  readonly generation: number;
  readonly size: number;
  readonly threshold: number;
  readonly previous: CommitteeGeneration | undefined;

  /**
   * @throws InvalidInputError for impossible parameters
   * @throws InvalidPointError when the keys of the previous generation do not belong together
   */
  constructor(parameters: RunParameters) {
    assertGroupReady();
    const { chainId, registry, committeeId, generation, size, threshold, previous } = parameters;
    checkGenerationId({ committeeId, generation });
    fromHex(registry, ADDRESS_BYTES, "registry");
    checkCommittee(size, threshold);
    this.scope = { chainId, registry, committeeId };
    this.generation = generation;
    this.size = size;
    this.threshold = threshold;
    this.previous = previous;
    if (previous !== undefined) checkPrevious(generation, previous);
    else if (generation !== FIRST_GENERATION) {
      throw new InvalidInputError("only the first generation is made without a previous one", {
        check: "generation",
        expected: `generation ${FIRST_GENERATION}, or the generation that deals`,
        received: `generation ${generation}`,
      });
    }
  }

  /** The generation that deals; 0 in key generation. */
  get from(): number {
    return this.previous?.generation ?? 0;
  }

  /** How many parties may deal. */
  get dealers(): number {
    return this.previous?.size ?? this.size;
  }

  /**
   * How many dealers have to qualify. In a handover, fewer do not determine the keys. In key generation, k of them
   * include one that is not among the k − 1 whom a thief may control, so nobody knows the sum of what they dealt.
   */
  get required(): number {
    return this.previous?.threshold ?? this.threshold;
  }
}

function checkPrevious(generation: number, previous: CommitteeGeneration): void {
  checkCommittee(previous.size, previous.threshold);
  if (!Number.isInteger(previous.generation) || previous.generation < FIRST_GENERATION) {
    throw new InvalidInputError(`${previous.generation} is no generation that deals`, { check: "generation" });
  }
  if (previous.generation >= generation) {
    throw new InvalidInputError(`generation ${previous.generation} cannot make generation ${generation}`, {
      check: "generation",
      expected: `a generation after ${previous.generation}`,
      received: `generation ${generation}`,
    });
  }
  for (const purpose of COMMITTEE_KEYS) {
    const { groupPublicKey, verificationShares } = previous.keys[purpose];
    if (verificationShares.length !== previous.size) {
      throw new InvalidInputError(`the ${purpose} key has ${verificationShares.length} verification shares`, {
        check: "verification shares",
        expected: String(previous.size),
        received: String(verificationShares.length),
      });
    }
    verifyCommitteeKeys(ristretto255Group, groupPublicKey, verificationShares, previous.threshold);
  }
}

function checkCommittee(size: number, threshold: number): void {
  const fits =
    [size, threshold].every(Number.isInteger) && size <= MAX_COMMITTEE_SIZE && threshold >= 1 && threshold <= size;
  if (fits) return;
  throw new InvalidInputError(`a committee with ${threshold} of ${size} members is impossible`, {
    check: "committee parameters",
    expected: `1 ≤ threshold ≤ size ≤ ${MAX_COMMITTEE_SIZE}`,
  });
}

/** @throws InvalidInputError unless the index is one of 1 … `size` */
export function checkIndex(index: number, size: number, role: "member" | "dealer"): void {
  if (Number.isInteger(index) && index >= 1 && index <= size) return;
  throw new InvalidInputError(`there is no ${role} ${index} among ${size}`, {
    check: `${role} index`,
    expected: `1 to ${size}`,
    received: String(index),
  });
}
