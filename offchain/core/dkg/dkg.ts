/**
 * Distributed generation of the OPRF key: Pedersen's protocol (1991) with Feldman commitments and a Schnorr proof of
 * possession of each constant term, as in FROST's KeyGen (Komlo and Goldberg, 2020, figure 1). Every member ends with a
 * key share f(index); nobody ever holds f(0). All members must take part. A member that breaks the protocol is named,
 * and a new committee has to be formed.
 *
 * A pure state machine. The transport must authenticate senders, encrypt round-2 shares to their recipients, and ensure
 * that all members saw the same broadcasts. Here, NBM nodes sign the hash of all broadcasts with every share, and the
 * registry accepts a group key only when all members attest the same.
 *
 * Known limit: the last member to broadcast can choose among many keys and so bias a few bits of the group key (Gennaro
 * et al., 1999). The key is still as hard to compute, which is all that the OPRF needs.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes } from "#primitives";
import { domainTag } from "../crypto/kdf.ts";
import { InvalidInputError, InvalidPointError, InvalidScalarError } from "../errors.ts";
import {
  add,
  assertGroupReady,
  checkCanonicalScalar,
  checkElement,
  multiply,
  multiplyBase,
  randomScalar,
  ristretto255Group,
  scalarAdd,
  scalarFromUniform,
  scalarMultiply,
  sha512,
} from "../oprf/group.ts";
import { itemAt, wipeAll } from "../oprf/prime-order-group.ts";
import { evaluateCommitments, evaluatePolynomial } from "../oprf/threshold.ts";
import {
  type Broadcast,
  checkDkgParameters,
  DkgFaultError,
  type DkgParameters,
  decodeBroadcast,
  decodeSecret,
  encodeHead,
  encodeSecret,
  hashBroadcasts,
} from "./messages.ts";

export { DkgFaultError, type DkgParameters } from "./messages.ts";

export interface DkgRound1 {
  /** To be persisted, sealed, before the broadcast leaves; round 2 takes it. */
  secret: Uint8Array;
  /** For all members. */
  broadcast: Uint8Array;
}

export interface DkgRound2 {
  /** To be persisted, sealed, before a share leaves; `dkgFinish` takes it. */
  secret: Uint8Array;
  /** 32 secret bytes for each other member, by its index. */
  sharesFor: Map<number, Uint8Array>;
}

export interface DkgResult {
  /** f(index), 32 bytes, secret. */
  keyShare: Uint8Array;
  /** f(0)·G. */
  groupPublicKey: Uint8Array;
  /** f(i)·G for members 1 … n, in order. */
  verificationShares: Uint8Array[];
}

const PROOF_TAG = domainTag("dkg-proof");

/**
 * Round 1: a random polynomial, commitments to it and a proof of possession.
 * @throws InvalidInputError for impossible parameters
 */
export function dkgRound1(parameters: DkgParameters): DkgRound1 {
  assertGroupReady();
  checkDkgParameters(parameters);
  const coefficients = Array.from({ length: parameters.threshold }, () => randomScalar());
  const statement = concatBytes(encodeHead(parameters), ...coefficients.map(multiplyBase));
  const nonce = randomScalar();
  const proofElement = multiplyBase(nonce);
  const proofScalar = scalarAdd(
    nonce,
    scalarMultiply(proofChallenge(statement, proofElement), itemAt(coefficients, 0)),
  );
  const secret = encodeSecret(parameters, { coefficients, broadcastsHash: undefined });
  wipeAll([...coefficients, nonce]);
  return { secret, broadcast: concatBytes(statement, proofElement, proofScalar) };
}

/**
 * Round 2: checks all broadcasts and makes a share for each other member. The same input gives the same output.
 *
 * @param secret of round 1
 * @param broadcasts of all members, this one's included
 * @throws DkgFaultError naming the member whose broadcast is malformed or has no valid proof
 * @throws InvalidInputError when broadcasts are missing, or the own one is not that of `secret`
 */
export function dkgRound2(
  parameters: DkgParameters,
  secret: Uint8Array,
  broadcasts: ReadonlyMap<number, Uint8Array>,
): DkgRound2 {
  assertGroupReady();
  checkDkgParameters(parameters);
  const { coefficients, broadcastsHash } = decodeSecret(parameters, secret);
  const ordered = orderBroadcasts(parameters, broadcasts);
  const hash = hashBroadcasts(ordered);
  if (broadcastsHash !== undefined) requireSameBroadcasts(broadcastsHash, hash);
  verifyBroadcasts(parameters, ordered, coefficients);
  const sharesFor = new Map<number, Uint8Array>();
  for (let member = 1; member <= parameters.size; member += 1) {
    if (member !== parameters.index) sharesFor.set(member, evaluatePolynomial(ristretto255Group, coefficients, member));
  }
  const state = encodeSecret(parameters, { coefficients, broadcastsHash: hash });
  wipeAll(coefficients);
  return { secret: state, sharesFor };
}

/**
 * Ends the protocol: checks each received share against its sender's commitments and adds them up.
 *
 * @param secret of round 2
 * @param broadcasts the same as in round 2
 * @param received share by sender, from all other members
 * @throws DkgFaultError naming the member whose share does not fit its commitments
 * @throws InvalidInputError when shares are missing or the broadcasts are not those of round 2
 */
export function dkgFinish(
  parameters: DkgParameters,
  secret: Uint8Array,
  broadcasts: ReadonlyMap<number, Uint8Array>,
  received: ReadonlyMap<number, Uint8Array>,
): DkgResult {
  assertGroupReady();
  checkDkgParameters(parameters);
  const { size, index } = parameters;
  const { coefficients, broadcastsHash } = decodeSecret(parameters, secret);
  if (broadcastsHash === undefined) {
    throw new InvalidInputError("key generation has not been through round 2", { check: "secret state" });
  }
  const ordered = orderBroadcasts(parameters, broadcasts);
  requireSameBroadcasts(broadcastsHash, hashBroadcasts(ordered));
  const members = verifyBroadcasts(parameters, ordered, coefficients);

  let keyShare = evaluatePolynomial(ristretto255Group, coefficients, index);
  wipeAll(coefficients);
  for (const [position, { commitments }] of members.entries()) {
    const member = position + 1;
    if (member === index) continue;
    const share = received.get(member);
    if (share === undefined) {
      throw new InvalidInputError(`the share of member ${member} is missing`, { check: "received shares" });
    }
    verifyShareOf(member, commitments, index, share);
    const sum = scalarAdd(keyShare, share);
    keyShare.fill(0);
    keyShare = sum;
  }

  // The commitments to the sum of all polynomials, coefficient by coefficient.
  const summed = members
    .map(({ commitments }) => commitments)
    .reduce((sum, commitments) => sum.map((element, power) => add(element, itemAt(commitments, power))));
  const groupPublicKey = itemAt(summed, 0);
  checkElement(groupPublicKey, "group public key");
  const verificationShares = Array.from({ length: size }, (_, position) =>
    evaluateCommitments(ristretto255Group, summed, position + 1),
  );
  for (const [position, element] of verificationShares.entries()) {
    checkElement(element, `verification share of member ${position + 1}`);
  }
  return { keyShare, groupPublicKey, verificationShares };
}

/**
 * Checks a share as it comes, before the others are there: a member that waits for all of them may wait for ever,
 * because whoever found the fault first no longer answers.
 *
 * @param broadcast of the sender, as checked in round 2
 * @throws DkgFaultError naming the sender
 */
export function dkgCheckShare(
  parameters: DkgParameters,
  member: number,
  broadcast: Uint8Array,
  share: Uint8Array,
): void {
  assertGroupReady();
  checkDkgParameters(parameters);
  const { commitments } = decodeBroadcast(parameters, member, broadcast);
  verifyShareOf(member, commitments, parameters.index, share);
}

/** The broadcasts of members 1 … n, exactly. */
function orderBroadcasts({ size }: DkgParameters, broadcasts: ReadonlyMap<number, Uint8Array>): Uint8Array[] {
  const ordered: Uint8Array[] = [];
  for (let member = 1; member <= size; member += 1) {
    const broadcast = broadcasts.get(member);
    if (broadcast === undefined) {
      throw new InvalidInputError(`the broadcast of member ${member} is missing`, { check: "broadcasts" });
    }
    ordered.push(broadcast);
  }
  if (broadcasts.size !== size) {
    throw new InvalidInputError(`${broadcasts.size} broadcasts for ${size} members`, { check: "broadcasts" });
  }
  return ordered;
}

function requireSameBroadcasts(expected: Uint8Array, received: Uint8Array): void {
  if (!equalBytes(expected, received)) {
    throw new InvalidInputError("the broadcasts are not those that round 2 was made from", { check: "broadcasts" });
  }
}

/** Checks encodings and proofs of all broadcasts, and that the own one belongs to the own polynomial. */
function verifyBroadcasts(parameters: DkgParameters, ordered: Uint8Array[], coefficients: Uint8Array[]): Broadcast[] {
  const decoded = ordered.map((bytes, position) => {
    const member = position + 1;
    const broadcast = decodeBroadcast(parameters, member, bytes);
    verifyPossession(member, broadcast);
    return broadcast;
  });
  const own = decoded[parameters.index - 1]?.commitments ?? [];
  if (!coefficients.every((coefficient, power) => equalBytes(multiplyBase(coefficient), itemAt(own, power)))) {
    throw new InvalidInputError("the own broadcast is not that of the secret state", { check: "broadcasts" });
  }
  return decoded;
}

/** μ·G = R + c·A_0, and all elements are valid and none the identity. */
function verifyPossession(member: number, { statement, commitments, proofElement, proofScalar }: Broadcast): void {
  try {
    for (const [power, element] of commitments.entries()) checkElement(element, `commitment ${power}`);
    checkElement(proofElement, "proof element");
    checkCanonicalScalar(proofScalar, "proof scalar");
  } catch (cause) {
    if (!(cause instanceof InvalidPointError || cause instanceof InvalidScalarError)) throw cause;
    const { code, check = "encoding" } = cause;
    throw new DkgFaultError(member, `sent a broadcast in which ${cause.message}`, { code, check, cause });
  }
  const challenge = proofChallenge(statement, proofElement);
  const expected = add(proofElement, multiply(challenge, itemAt(commitments, 0)));
  if (!equalBytes(multiplyBase(proofScalar), expected)) {
    throw new DkgFaultError(member, "does not prove possession of its secret", {
      code: "INVALID_PROOF",
      check: "proof of possession",
    });
  }
}

/** f_member(index)·G must equal Σ index^j·A_j. */
function verifyShareOf(member: number, commitments: Uint8Array[], index: number, share: Uint8Array): void {
  try {
    checkCanonicalScalar(share, "the share");
  } catch (cause) {
    if (!(cause instanceof InvalidScalarError)) throw cause;
    const { code, check = "encoding" } = cause;
    throw new DkgFaultError(member, `sent a malformed share: ${cause.message}`, { code, check, cause });
  }
  if (!equalBytes(multiplyBase(share), evaluateCommitments(ristretto255Group, commitments, index))) {
    throw new DkgFaultError(member, "sent a share that does not fit its commitments", {
      code: "INVALID_PROOF",
      check: "share against commitments",
    });
  }
}

/** c = SHA-512("tallystick/v1/dkg-proof" ‖ 0x00 ‖ head ‖ commitments ‖ R) modulo the group order. */
function proofChallenge(statement: Uint8Array, proofElement: Uint8Array): Uint8Array {
  return scalarFromUniform(sha512(concatBytes(PROOF_TAG, statement, proofElement)));
}
