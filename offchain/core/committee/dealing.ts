/**
 * A dealing: one public message in which a dealer shares its part of every key among all new members. Feldman's
 * verifiable secret sharing (1987) with the shares sealed inside, so that what a dealer sent cannot be disputed:
 *
 *     per key     f(x) = a_0 + a_1·x + … , A_m = a_m·G       a_0 random in key generation, the share s_j in a handover
 *     E = e·G, Ē = e·Ḡ, D_i = e·P_i                          e is random, one per dealing
 *     sealed_i    (f_oprf(i) ‖ f_record(i)) ⊕ kdf(D_i, "committee-share", head ‖ announcements ‖ E ‖ u16 i, 64)
 *     proof       knowledge of a_0 of each key, and of e with E = e·G, Ē = e·Ḡ, over everything before it
 *
 * - The proof of a_0 keeps a dealer from cancelling the parts of others (rogue keys), and in a handover shows that the
 *   holder of the share deals.
 * - The proof of e is the one of TDH2 (sealed-secrets/): a complaint reveals D_i, so whoever could copy or shift the E
 *   of an honest dealer into a dealing of its own would have a share of that dealer revealed.
 * - A pad is used once. It needs no tag: a share that was tampered with does not fit the commitments.
 *
 * In a handover the dealer shares s_j, not λ_j·s_j: λ_j depends on which dealers qualify, which is not known before all
 * have dealt. The members multiply what they get, and the commitments, by λ_j (settlement.ts), so that a run need not
 * begin again when a dealer drops out (Desmedt and Jajodia 1997; Wong, Wang and Wing 2002).
 *
 * A dealing is persisted before it leaves: a dealer that sends two different ones is excluded. It holds no secret, and
 * the dealer keeps none.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes } from "#primitives";
import { kdf } from "../crypto/kdf.ts";
import { u16be } from "../encoding/integers.ts";
import { InvalidInputError } from "../errors.ts";
import {
  checkCanonicalScalar,
  checkElement,
  multiply,
  multiplyBase,
  randomScalar,
  ristretto255Group,
  SCALAR_BYTES,
} from "../oprf/group.ts";
import { itemAt, wipeAll } from "../oprf/prime-order-group.ts";
import { proveRelations, type RelationStatement, secondGenerator, verifyRelations } from "../oprf/relation-proof.ts";
import { evaluateCommitments, evaluatePolynomial } from "../oprf/threshold.ts";
import { CommitteeFaultError } from "./fault.ts";
import { decodeMemberShares } from "./member-shares.ts";
import { blame, type Dealing, decodeDealing, encodeCommitments, encodeHead, SEALED_SHARES_BYTES } from "./messages.ts";
import { type RunMembers, receivingSecret } from "./receiving.ts";
import { COMMITTEE_KEYS, checkIndex, type PerKey, perKey } from "./run.ts";

/**
 * Makes the dealing of one dealer. Each call makes another one.
 *
 * @param oldShares in a handover, the dealer's shares of the generation that deals (member-shares.ts)
 * @throws InvalidInputError when the shares are missing or not those of this dealer, or there is no such dealer
 */
export function dealShares(members: RunMembers, dealer: number, oldShares?: Uint8Array): Uint8Array {
  const { run, announced, receivingKeys } = members;
  checkIndex(dealer, run.dealers, "dealer");
  const constants = constantTerms(members, dealer, oldShares);
  const polynomials = perKey((purpose) => [
    constants[purpose],
    ...Array.from({ length: run.threshold - 1 }, () => randomScalar()),
  ]);
  const ephemeral = randomScalar();
  const head = encodeHead(run, dealer);
  const ephemeralKey = multiplyBase(ephemeral);
  const ephemeralTwin = multiply(ephemeral, secondGenerator());
  const commitments = perKey((purpose) => polynomials[purpose].map((coefficient) => multiplyBase(coefficient)));
  const sealedShares = receivingKeys.map((receivingKey, position) => {
    const points = COMMITTEE_KEYS.map((purpose) =>
      evaluatePolynomial(ristretto255Group, polynomials[purpose], position + 1),
    );
    const shares = concatBytes(...points);
    const sharedElement = multiply(ephemeral, receivingKey);
    const sealed = applyPad(shares, sharedElement, head, announced, ephemeralKey, position + 1);
    wipeAll([...points, shares, sharedElement]);
    return sealed;
  });
  const statement = concatBytes(
    head,
    announced,
    ephemeralKey,
    ephemeralTwin,
    encodeCommitments(commitments),
    ...sealedShares,
  );
  const secrets = [...COMMITTEE_KEYS.map((purpose) => constants[purpose]), ephemeral];
  const proof = proveRelations(knowledge(statement, commitments, ephemeralKey, ephemeralTwin), secrets);
  wipeAll([...COMMITTEE_KEYS.flatMap((purpose) => polynomials[purpose]), ephemeral]);
  return concatBytes(statement, proof);
}

/**
 * Checks all that is public about a dealing; anybody can.
 * @throws CommitteeFaultError naming the dealer
 * @throws InvalidInputError when there is no such dealer
 */
export function checkDealing(members: RunMembers, dealer: number, bytes: Uint8Array): Dealing {
  const { run, announced } = members;
  checkIndex(dealer, run.dealers, "dealer");
  const dealing = decodeDealing(run, dealer, announced, bytes);
  const { statement, commitments, ephemeralKey, ephemeralTwin, proof } = dealing;
  blame("dealer", dealer, "a bad dealing", () => {
    checkElement(ephemeralKey, "ephemeral key");
    checkElement(ephemeralTwin, "second ephemeral key");
    for (const purpose of COMMITTEE_KEYS) {
      for (const [power, element] of commitments[purpose].entries()) {
        checkElement(element, `commitment ${power} of the ${purpose} key`);
      }
    }
  });
  for (const purpose of run.previous === undefined ? [] : COMMITTEE_KEYS) {
    const verificationShare = run.previous?.keys[purpose].verificationShares[dealer - 1];
    if (verificationShare !== undefined && equalBytes(itemAt(commitments[purpose], 0), verificationShare)) continue;
    throw new CommitteeFaultError(dealer, `deals something else than its share of the ${purpose} key`, {
      code: "INVALID_PROOF",
      check: "constant term",
      role: "dealer",
    });
  }
  blame("dealer", dealer, "a bad dealing", () => {
    verifyRelations(knowledge(statement, commitments, ephemeralKey, ephemeralTwin), proof);
  });
  return dealing;
}

/**
 * Opens a member's shares in a checked dealing.
 * @param secret of `announceMember`
 * @returns its shares, which the caller wipes, or undefined when they do not fit the commitments: a reason to complain
 */
export function openShares(
  members: RunMembers,
  member: number,
  secret: Uint8Array,
  dealing: Dealing,
): PerKey<Uint8Array> | undefined {
  const privateKey = receivingSecret(members, member, secret);
  const sharedElement = multiply(privateKey, dealing.ephemeralKey);
  privateKey.fill(0);
  const shares = unsealShares(members, dealing, member, sharedElement);
  sharedElement.fill(0);
  return shares;
}

/**
 * Opens the shares of a member with D, which the member has, and which it reveals in a complaint.
 * @returns undefined when a share is no scalar or does not fit the commitments
 */
export function unsealShares(
  { run, announced }: RunMembers,
  { dealer, ephemeralKey, commitments, sealedShares }: Dealing,
  member: number,
  sharedElement: Uint8Array,
): PerKey<Uint8Array> | undefined {
  const head = encodeHead(run, dealer);
  const sealed = itemAt(sealedShares, member - 1);
  const opened = applyPad(sealed, sharedElement, head, announced, ephemeralKey, member);
  const shares = perKey((_, at) => opened.slice(at * SCALAR_BYTES, (at + 1) * SCALAR_BYTES));
  opened.fill(0);
  const fits = COMMITTEE_KEYS.every((purpose) => fitsCommitments(shares[purpose], commitments[purpose], member));
  if (fits) return shares;
  wipeAll(COMMITTEE_KEYS.map((purpose) => shares[purpose]));
  return undefined;
}

/** f(member)·G = Σ member^m·A_m, and the share is reduced. */
function fitsCommitments(share: Uint8Array, commitments: Uint8Array[], member: number): boolean {
  try {
    checkCanonicalScalar(share, "share");
  } catch {
    // The only failure of that check: the bytes are no scalar.
    return false;
  }
  return equalBytes(multiplyBase(share), evaluateCommitments(ristretto255Group, commitments, member));
}

/** Seals and opens: the pad is its own inverse. */
function applyPad(
  shares: Uint8Array,
  sharedElement: Uint8Array,
  head: Uint8Array,
  announced: Uint8Array,
  ephemeralKey: Uint8Array,
  member: number,
): Uint8Array {
  const info = concatBytes(head, announced, ephemeralKey, u16be(member));
  const pad = kdf(sharedElement, "committee-share", info, SEALED_SHARES_BYTES);
  const result = shares.map((byte, position) => byte ^ (pad[position] ?? 0));
  pad.fill(0);
  return result;
}

/** What the dealer shares: a fresh scalar per key, or its shares of the generation that deals. */
function constantTerms({ run }: RunMembers, dealer: number, shares: Uint8Array | undefined): PerKey<Uint8Array> {
  const { previous, scope } = run;
  if (previous === undefined) {
    if (shares === undefined) return perKey(() => randomScalar());
    throw new InvalidInputError("key generation takes no shares of an earlier generation", { check: "key shares" });
  }
  if (shares === undefined) {
    throw new InvalidInputError(`dealer ${dealer} needs its shares of generation ${previous.generation}`, {
      check: "key shares",
    });
  }
  return decodeMemberShares(scope, previous, dealer, shares);
}

/** Knowledge of a_0 of each key and of e, with E = e·G and Ē = e·Ḡ. */
function knowledge(
  statement: Uint8Array,
  commitments: PerKey<Uint8Array[]>,
  ephemeralKey: Uint8Array,
  ephemeralTwin: Uint8Array,
): RelationStatement {
  const constants = COMMITTEE_KEYS.map((purpose) => [{ element: itemAt(commitments[purpose], 0) }]);
  const ephemeral = [{ element: ephemeralKey }, { base: secondGenerator(), element: ephemeralTwin }];
  return { label: "committee-dealing", context: statement, relations: [...constants, ephemeral] };
}
