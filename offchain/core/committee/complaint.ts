/**
 * A complaint: public evidence that a dealer sealed a wrong share to a member (after Schindler, Judmayer, Stifter and
 * Weippl: EthDKG, 2019). The member reveals D = p·E, the element that opens its shares in this one dealing, with a
 * proof that E and P make D. Everybody can then open these shares and hold them against the dealer's own commitments:
 * the dealing is proof of what the dealer sent, because its pads, commitments and head are under one proof and one
 * signature.
 *
 * What is revealed concerns this dealer alone: another dealer has another E, and D says nothing about p. A complaint
 * that turns out unfounded names the member that made it, and reveals nothing but that member's own shares.
 *
 * A complaint reveals the member's shares of both keys, also when only one of them is wrong. So k complaints can make
 * public what a faulty dealer shared of the other key: a dealer that qualified members complain about counts as one
 * whose share is stolen.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes, sha256 } from "#primitives";
import { u16be } from "../encoding/integers.ts";
import { checkElement, multiply } from "../oprf/group.ts";
import { itemAt, wipeAll } from "../oprf/prime-order-group.ts";
import { proveRelations, type RelationStatement, verifyRelations } from "../oprf/relation-proof.ts";
import { checkDealing, openShares, unsealShares } from "./dealing.ts";
import { CommitteeFaultError } from "./fault.ts";
import { blame, type Complaint, type Dealing, decodeComplaint, encodeHead } from "./messages.ts";
import { type RunMembers, receivingSecret } from "./receiving.ts";
import { COMMITTEE_KEYS, checkIndex } from "./run.ts";

/**
 * Looks at a dealing as a member that has a share in it.
 *
 * @param secret of `announceMember`
 * @returns a complaint for everybody when the member's share is wrong; undefined when all is well
 * @throws CommitteeFaultError naming the dealer when the dealing is bad for everybody to see, which needs no complaint
 */
export function reviewDealing(
  members: RunMembers,
  member: number,
  secret: Uint8Array,
  dealer: number,
  bytes: Uint8Array,
): Uint8Array | undefined {
  const dealing = checkDealing(members, dealer, bytes);
  const shares = openShares(members, member, secret, dealing);
  if (shares === undefined) return complain(members, member, secret, dealing);
  wipeAll(COMMITTEE_KEYS.map((purpose) => shares[purpose]));
  return undefined;
}

function complain(members: RunMembers, member: number, secret: Uint8Array, dealing: Dealing): Uint8Array {
  const privateKey = receivingSecret(members, member, secret);
  const sharedElement = multiply(privateKey, dealing.ephemeralKey);
  const head = encodeHead(members.run, member);
  const statement = concatBytes(head, u16be(dealing.dealer), sha256(dealing.bytes), sharedElement);
  const evidence = sharedKey(members, member, statement, dealing, sharedElement);
  const proof = proveRelations(evidence, [privateKey]);
  privateKey.fill(0);
  return concatBytes(statement, proof);
}

/**
 * Judges a complaint; anybody can, and everybody comes to the same result.
 *
 * @param dealing that it names, checked
 * @returns the fault of the dealer
 * @throws CommitteeFaultError naming the member when its complaint is malformed or unfounded
 */
export function judgeComplaint(
  members: RunMembers,
  member: number,
  complaint: Complaint,
  dealing: Dealing,
): CommitteeFaultError {
  const { statement, sharedElement, proof, dealingHash } = complaint;
  if (!equalBytes(dealingHash, sha256(dealing.bytes))) {
    throw new CommitteeFaultError(member, `complains about another dealing than that of dealer ${dealing.dealer}`, {
      code: "BAD_RESPONSE",
      check: "dealing hash",
    });
  }
  blame("member", member, "a bad complaint", () => {
    checkElement(sharedElement, "shared element");
    verifyRelations(sharedKey(members, member, statement, dealing, sharedElement), proof);
  });
  const shares = unsealShares(members, dealing, member, sharedElement);
  if (shares === undefined) {
    return new CommitteeFaultError(
      dealing.dealer,
      `sealed a share to member ${member} that does not fit its commitments`,
      {
        code: "INVALID_PROOF",
        check: "share against commitments",
        role: "dealer",
        hint: "none is needed: the dealer is left out",
      },
    );
  }
  throw new CommitteeFaultError(member, `complains about a share of dealer ${dealing.dealer} that is right`, {
    code: "INVALID_PROOF",
    check: "complaint",
  });
}

/** Reads a complaint and which dealer it is about. @throws CommitteeFaultError naming the member */
export function readComplaint({ run }: RunMembers, member: number, bytes: Uint8Array): Complaint {
  checkIndex(member, run.size, "member");
  const complaint = decodeComplaint(run, member, bytes);
  if (complaint.dealer >= 1 && complaint.dealer <= run.dealers) return complaint;
  throw new CommitteeFaultError(member, `complains about dealer ${complaint.dealer}, whom the run does not have`, {
    code: "BAD_RESPONSE",
    check: "dealer index",
  });
}

/** D = p·E for the p of P = p·G. */
function sharedKey(
  { receivingKeys }: RunMembers,
  member: number,
  statement: Uint8Array,
  { ephemeralKey }: Dealing,
  sharedElement: Uint8Array,
): RelationStatement {
  const relations = [[{ element: itemAt(receivingKeys, member - 1) }, { base: ephemeralKey, element: sharedElement }]];
  return { label: "committee-complaint", context: statement, relations };
}
