/**
 * The end of a run: which dealers qualify, and what follows. A dealer qualifies when it sent exactly one dealing, the
 * dealing is valid for everybody to see, and no complaint about it is founded. Everybody who has the same messages
 * comes to the same set, so all members attest the transcript with the keys, and a run whose members saw different
 * messages is noticed. Whoever decides when messages are late is the transport's concern.
 *
 * With F = Σ f_j over the qualified dealers in key generation, and F = Σ λ_j·f_j in a handover (λ_j the Lagrange
 * coefficients of the qualified set at 0, so that F(0) is the key as before): member i has F(i), and commitments to F,
 * hence all public keys, follow from the commitments in the dealings.
 *
 * In key generation a dealer that waits for the others, or that provokes its own exclusion, can bias the group keys
 * (Gennaro, Jarecki, Krawczyk and Rabin 1999). It cannot cancel the part of an honest dealer, whose logarithm nobody
 * knows, so the problems that the OPRF and sealed secrets rest on stay as hard (same authors, 2007). A handover has
 * nothing to bias: the keys are given.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes, sha256 } from "#primitives";
import { domainTag } from "../crypto/kdf.ts";
import { u16be } from "../encoding/integers.ts";
import { InvalidInputError, TallystickError } from "../errors.ts";
import {
  add,
  checkElement,
  identityElement,
  multiply,
  multiplyBase,
  ristretto255Group,
  scalarAdd,
  scalarFromNumber,
  scalarMultiply,
} from "../oprf/group.ts";
import { itemAt } from "../oprf/prime-order-group.ts";
import { evaluateCommitments, lagrangeCoefficients } from "../oprf/threshold.ts";
import { judgeComplaint, readComplaint } from "./complaint.ts";
import { checkDealing, openShares } from "./dealing.ts";
import { CommitteeFaultError } from "./fault.ts";
import type { KeyPurpose } from "./key-id.ts";
import { encodeMemberShares } from "./member-shares.ts";
import type { Dealing } from "./messages.ts";
import type { RunMembers } from "./receiving.ts";
import { COMMITTEE_KEYS, type CommitteeGeneration, type CommitteeRun, checkIndex, perKey } from "./run.ts";

/** A message and who signed it, as the transport has checked. */
export interface SignedBy {
  readonly from: number;
  readonly bytes: Uint8Array;
}

export interface Settlement {
  /** The public keys of the new generation. */
  readonly generation: CommitteeGeneration;
  /** Dealers whose parts the keys are made of, ascending. */
  readonly qualified: readonly number[];
  /** One for each dealer that was excluded, and for each member with an unfounded complaint. */
  readonly faults: readonly CommitteeFaultError[];
  /** SHA-256(tag("committee-transcript") ‖ hash of all announcements ‖ (u16 dealer ‖ SHA-256(dealing)) of each). */
  readonly transcript: Uint8Array;
}

export interface MemberResult extends Settlement {
  /** The member's shares (member-shares.ts). To be persisted, sealed, before the member attests the keys. */
  readonly shares: Uint8Array;
}

const TRANSCRIPT_TAG = domainTag("committee-transcript");

/**
 * Decides who qualifies, and derives the public keys. Takes no secret: clients and former members can do it too.
 *
 * @throws TallystickError QUORUM_FAILED with the faults in `details` when too few dealers qualify
 * @throws CommitteeFaultError naming a member with which the run cannot end: its key share is zero
 * @throws InvalidInputError for a sender that the run does not have
 */
export function settleRun(
  members: RunMembers,
  dealings: readonly SignedBy[],
  complaints: readonly SignedBy[],
): Settlement {
  return settle(members, dealings, complaints).settlement;
}

/**
 * Ends the run for a member: sums its shares of the qualified dealings.
 *
 * @param secret of `announceMember`
 * @throws InvalidInputError when a share of a qualified dealer is wrong: the member's complaint is missing
 * @throws TallystickError QUORUM_FAILED as `settleRun`
 */
export function finishRun(
  members: RunMembers,
  member: number,
  secret: Uint8Array,
  dealings: readonly SignedBy[],
  complaints: readonly SignedBy[],
): MemberResult {
  const { run } = members;
  checkIndex(member, run.size, "member");
  const { settlement, qualified, weights } = settle(members, dealings, complaints);
  const sums = perKey(() => scalarFromNumber(0));
  for (const [position, dealing] of qualified.entries()) {
    const shares = openShares(members, member, secret, dealing);
    if (shares === undefined) {
      throw new InvalidInputError(`the share of dealer ${dealing.dealer} is wrong, and no complaint says so`, {
        check: "complaints",
        party: `dealer ${dealing.dealer}`,
        hint: "send the complaint that reviewDealing makes, and settle with it",
      });
    }
    for (const purpose of COMMITTEE_KEYS) {
      const term = scalarMultiply(itemAt(weights, position), shares[purpose]);
      const sum = scalarAdd(sums[purpose], term);
      sums[purpose].set(sum);
      for (const secretScalar of [term, sum, shares[purpose]]) secretScalar.fill(0);
    }
  }
  for (const purpose of COMMITTEE_KEYS) {
    const verificationShare = itemAt(settlement.generation.keys[purpose].verificationShares, member - 1);
    if (equalBytes(multiplyBase(sums[purpose]), verificationShare)) continue;
    throw new TallystickError(`the ${purpose} key share does not fit its verification share`, { code: "INTERNAL" });
  }
  const shares = encodeMemberShares(run.scope, run.generation, member, sums);
  for (const purpose of COMMITTEE_KEYS) sums[purpose].fill(0);
  return { ...settlement, shares };
}

function settle(members: RunMembers, dealings: readonly SignedBy[], complaints: readonly SignedBy[]) {
  const { run, announced } = members;
  const { valid, faults } = validDealings(members, dealings);
  removeAccused(members, valid, complaints, faults);
  const qualified = [...valid.values()].sort((one, other) => one.dealer - other.dealer);
  requireEnough(run, qualified, faults);
  const dealers = qualified.map(({ dealer }) => dealer);
  const weights = run.previous
    ? lagrangeCoefficients(ristretto255Group, dealers, 0)
    : dealers.map(() => scalarFromNumber(1));
  const named = qualified.flatMap(({ dealer, bytes }) => [u16be(dealer), sha256(bytes)]);
  const settlement = {
    generation: deriveGeneration(run, qualified, weights),
    qualified: dealers,
    faults,
    transcript: sha256(concatBytes(TRANSCRIPT_TAG, announced, ...named)),
  };
  return { settlement, qualified, weights };
}

/** The dealings of those who sent one and only one, and a valid one. */
function validDealings(members: RunMembers, dealings: readonly SignedBy[]) {
  const valid = new Map<number, Dealing>();
  const faults: CommitteeFaultError[] = [];
  const sent = new Map<number, Uint8Array>();
  const excluded = new Set<number>();
  for (const { from, bytes } of dealings) {
    checkIndex(from, members.run.dealers, "dealer");
    const first = sent.get(from);
    if (excluded.has(from) || (first !== undefined && equalBytes(first, bytes))) continue;
    sent.set(from, bytes);
    try {
      if (first !== undefined) throw twoDealings(from);
      valid.set(from, checkDealing(members, from, bytes));
    } catch (fault) {
      if (!(fault instanceof CommitteeFaultError)) throw fault;
      faults.push(fault);
      excluded.add(from);
      valid.delete(from);
    }
  }
  return { valid, faults };
}

/**
 * Takes out the dealers about whom a complaint is founded. All complaints are looked at until a dealer is out: then the
 * order in which they come makes no difference.
 */
function removeAccused(
  members: RunMembers,
  valid: Map<number, Dealing>,
  complaints: readonly SignedBy[],
  faults: CommitteeFaultError[],
): void {
  const most = members.run.size * members.run.dealers;
  if (complaints.length > most) {
    throw new InvalidInputError(`${complaints.length} complaints in a run that can have ${most}`, {
      check: "complaints",
      expected: "one of each member about each dealer",
    });
  }
  for (const { from, bytes } of complaints) {
    try {
      const complaint = readComplaint(members, from, bytes);
      const dealing = valid.get(complaint.dealer);
      if (dealing === undefined) continue;
      faults.push(judgeComplaint(members, from, complaint, dealing));
      valid.delete(complaint.dealer);
    } catch (fault) {
      if (!(fault instanceof CommitteeFaultError)) throw fault;
      faults.push(fault);
    }
  }
}

function requireEnough(run: CommitteeRun, qualified: readonly Dealing[], faults: readonly CommitteeFaultError[]): void {
  if (qualified.length >= run.required) return;
  const dealers = qualified.map(({ dealer }) => dealer);
  throw new TallystickError(`${dealers.length} of ${run.required} dealers that are needed qualify`, {
    code: "QUORUM_FAILED",
    check: "qualified dealers",
    expected: `at least ${run.required}`,
    received: dealers.length === 0 ? "none" : `dealers ${dealers.join(", ")}`,
    hint: "wait for dealings that are missing, or begin a run with another generation number",
    details: { qualified: dealers, faults: faults.map((fault) => fault.toJSON()) },
  });
}

function deriveGeneration(
  run: CommitteeRun,
  qualified: readonly Dealing[],
  weights: Uint8Array[],
): CommitteeGeneration {
  const { generation, size, threshold, previous } = run;
  const keys = perKey((purpose) => {
    const commitments = Array.from({ length: threshold }, (_, power) =>
      qualified
        .map((dealing, at) => weighted(previous, itemAt(weights, at), itemAt(dealing.commitments[purpose], power)))
        .reduce((sum, element) => add(sum, element)),
    );
    const groupPublicKey = itemAt(commitments, 0);
    checkElement(groupPublicKey, `${purpose} group key`);
    if (previous !== undefined && !equalBytes(groupPublicKey, previous.keys[purpose].groupPublicKey)) {
      throw new TallystickError(`the ${purpose} group key has changed in a handover`, { code: "INTERNAL" });
    }
    const verificationShares = Array.from({ length: size }, (_, at) =>
      evaluateCommitments(ristretto255Group, commitments, at + 1),
    );
    for (const [at, element] of verificationShares.entries()) {
      if (equalBytes(element, identityElement())) throw zeroShare(purpose, at + 1);
    }
    return { groupPublicKey, verificationShares };
  });
  return { generation, size, threshold, keys };
}

/** λ·A; in key generation all weights are 1. */
function weighted(previous: CommitteeGeneration | undefined, weight: Uint8Array, element: Uint8Array): Uint8Array {
  return previous === undefined ? element : multiply(weight, element);
}

/**
 * The dealer that deals last can make one member's shares add up to 0, if it knows what the others dealt to that
 * member. Nobody does but the member itself: it is this dealer, or has helped it.
 */
function zeroShare(purpose: KeyPurpose, member: number): CommitteeFaultError {
  return new CommitteeFaultError(member, `has made its share of the ${purpose} key zero`, {
    code: "INVALID_POINT",
    check: "verification share",
  });
}

function twoDealings(dealer: number): CommitteeFaultError {
  return new CommitteeFaultError(dealer, "sent two different dealings", {
    code: "BAD_RESPONSE",
    check: "one dealing per dealer",
    role: "dealer",
    hint: "none is needed: the dealer is left out",
  });
}
