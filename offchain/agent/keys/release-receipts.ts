/**
 * What a node signs about a release: that it is the node's, and that its block is one of the chain. A receipt is
 * evidence only if others can ask the policy again in the state of its block; a node that gives a share on a state of
 * its own making, or on one of hours ago, must not get away with a receipt that shows nothing.
 */

import { getAddress, verifyTypedData } from "ethers";
import type { ChainReader } from "../../chain/deployment.ts";
import { readChain } from "../../chain/revert.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { releaseReceipt } from "../../core/sealed-secrets/release-receipt.ts";
import type { CheckedSecret } from "../../core/sealed-secrets/sealed-secret.ts";
import { MAXIMUM_RELEASE_REQUEST_SECONDS, type ReleaseAnswer } from "../../core/wire/release.ts";
import { polled } from "./relay-entry.ts";

/** A block is stale when more than so many are upon it, and it is older than so many seconds of chain time. */
const STALE = { blocks: 64, seconds: 1800 };

/** What a node was asked, and by which name errors call it. */
export interface AskedRelease {
  readonly secret: CheckedSecret;
  /** 0x hex. */
  readonly evidence: string;
  readonly account: string;
  readonly sessionKey: string;
  readonly operator: string;
  readonly party: string;
}

type Receipt = ReleaseAnswer["receipt"];

/**
 * @throws TallystickError INVALID_SIGNATURE when the node did not sign it; BAD_RESPONSE when its time is not now, or
 *   its block is not on the chain, or stale; CHAIN_UNAVAILABLE
 */
export async function requireReceipt(chain: ChainReader, asked: AskedRelease, receipt: Receipt): Promise<void> {
  requireSigned(asked, receipt);
  requireNow(asked.party, receipt);
  await requireBlock(chain, asked.party, receipt);
}

/** A node that does not sign what it released could deny it later. */
function requireSigned(
  { secret, evidence, account, sessionKey, operator, party }: AskedRelease,
  receipt: Receipt,
): void {
  const { signature, ...at } = receipt;
  const released = { secret: toHex(secret.name), evidence, account, sessionKey, ...at };
  const { domain, types, message } = releaseReceipt(secret.label, released);
  let signer = "no signature";
  try {
    signer = verifyTypedData(domain, types, { ...message }, signature);
  } catch {
    // Sixty-five bytes that are no signature.
  }
  if (signer === getAddress(operator)) return;
  throw new TallystickError(`${party} did not sign the receipt of its release`, {
    code: "INVALID_SIGNATURE",
    party,
    check: "signature of the release receipt",
    expected: `by ${operator}`,
    received: signer,
  });
}

/** The request was signed a moment ago, and is valid for this long at most, by the node's clock. */
function requireNow(party: string, { releasedAt }: Receipt): void {
  const seconds = Math.abs(Math.floor(Date.now() / 1000) - releasedAt);
  if (seconds <= MAXIMUM_RELEASE_REQUEST_SECONDS) return;
  throw wrongBlock(party, "says that it released at another time", {
    check: "time of the release receipt",
    expected: `at most ${MAXIMUM_RELEASE_REQUEST_SECONDS} s from this computer's`,
    received: `${seconds} s`,
  });
}

/** @throws CHAIN_UNAVAILABLE when this computer's endpoint does not say */
async function requireBlock(chain: ChainReader, party: string, { blockNumber, blockHash }: Receipt): Promise<void> {
  const read = (which: number | "latest") =>
    readChain("reading the block of a release", () => chain.provider.getBlock(which));
  // The node's endpoint may be ahead of this one's.
  const block = await polled(async () => (await read(blockNumber)) ?? undefined);
  const head = await read("latest");
  const check = "block of the release receipt";
  const received = `block ${blockNumber}, ${blockHash}`;
  if (block === undefined || head === null) {
    const expected = `at most block ${head?.number ?? 0}, the latest of this computer's endpoint`;
    throw wrongBlock(party, "released in a block that the chain does not have", { check, expected, received });
  }
  if (block.hash === null || block.hash !== blockHash.toLowerCase()) {
    const expected = block.hash ?? "a block";
    throw wrongBlock(party, "released in a block of another chain, or one that was replaced", {
      ...{ check, expected, received },
    });
  }
  const [blocks, seconds] = [head.number - blockNumber, head.timestamp - block.timestamp];
  if (blocks <= STALE.blocks || seconds <= STALE.seconds) return;
  throw wrongBlock(party, "released on a state of long ago", {
    check,
    expected: `at most ${STALE.blocks} blocks or ${STALE.seconds} s behind block ${head.number}`,
    received: `block ${blockNumber}, ${seconds} s older`,
  });
}

/** Another endpoint of this computer, or of the node, may see another chain: so it may pass. */
function wrongBlock(
  party: string,
  what: string,
  facts: { check: string; expected: string; received: string },
): TallystickError {
  return new TallystickError(`${party} ${what}`, {
    code: "BAD_RESPONSE",
    party,
    ...facts,
    hint: "if all nodes do, look at the clock and the chain endpoint of this computer",
    retryable: true,
  });
}
