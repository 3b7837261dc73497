/**
 * From the sealed key of a record back to the file key, by the record's committee in whichever generation it is: the
 * record does not know its members, and does not need those of its day.
 */

import { recordSealOf } from "../../chain/group-keys.ts";
import { encodeHeader, encodeHeaderFor, headerOf } from "../../chain/ledger.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { checkSealedKey, fileKeyFrom } from "../../core/record/sealed-record.ts";
import type { AgentContext } from "../context.ts";
import { loadSuite } from "../pipeline/oprf-stage.ts";
import { acrossGenerations } from "./across-generations.ts";
import type { VerifiedRecord } from "./archives.ts";
import type { RebuiltKey } from "./key-shares.ts";
import { releaseSecret } from "./releases.ts";
import { onceConfirmed } from "./young-records.ts";

/**
 * Has the key of a record released to this account.
 *
 * @param owner of the record: the account, or a predecessor
 * @throws TallystickError NOT_RELEASED, SHARES_MISSING with what every node answered, the former retryable while the
 *   account has owned the record for a few blocks only, and the next ones do not come; INTEGRITY, INVALID_PROOF and
 *   others naming the recorder when it made the record wrongly
 */
export async function openSealedKey(
  context: AgentContext,
  found: VerifiedRecord,
  owner: string,
  dataId: string,
): Promise<RebuiltKey> {
  const header = headerOf(found.record);
  const isOwn = isAddressEqual(owner, context.requester.address);
  await loadSuite();
  const open = async (): Promise<RebuiltKey> => {
    const { committee, members } = await context.committeeById(found.record.committeeId);
    const { deployment, requester: account, logger } = context;
    const secret = checkSealedKey(found.payload, found.record, recordSealOf(deployment, committee));
    const wanted = {
      secret,
      sealed: found.payload.sealedKey ?? new Uint8Array(),
      policyData: new Uint8Array(),
      evidence: isOwn ? encodeHeader(header) : encodeHeaderFor(header, owner),
    };
    const chain = await context.chain();
    const { payload, nodes } = await releaseSecret(wanted, { chain, committee, members, account, logger });
    return { fileKey: fileKeyFrom(payload, found.record, dataId), nodes };
  };
  const young = {
    chain: await context.chain(),
    clock: context.platform.clock,
    account: context.requester.address,
    owner,
    during: <Result>(step: string, work: () => Promise<Result>) => context.waits.during("chain", step, work),
  };
  return await onceConfirmed(young, found, () => acrossGenerations(open));
}
