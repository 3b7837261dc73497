/**
 * States that a delegate of the user signs. The escrow has the last word; here they are refused with a reason before
 * anything is paid for. A delegate is a plain key, so the provider sends such states itself: no code of a user is
 * asked.
 */
import { readFeeLimit } from "../../chain/delegates.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import type { SliceRange } from "../../core/audit/challenge.ts";
import { decodeLiveRanges, subtractRanges } from "../../core/data-set/ranges.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import type { Delegation } from "../../core/identity/delegation.ts";
import type { DataSetUpdateMessage, TypedData } from "../../core/identity/typed-messages.ts";
import { recoverSigner, type SignatureCheck } from "../../daemon/account-signature.ts";
import { outOfScope } from "../../daemon/delegates.ts";
import type { AgreedSet, CosignedState, DataSetRow } from "../../store/index/data-set-index.ts";
import { type CheckParts, mayCome, type Proposal } from "./state-checks.ts";
import { isSignedByKey, type SignedFields, stateTypedData } from "./state-signatures.ts";

/** @throws TallystickError OUT_OF_SCOPE when the set was not given to the delegate; ChainUnavailableError */
export async function requireSetOfDelegate(
  chain: ChainReader,
  delegation: Delegation,
  { agreed }: Pick<DataSetRow, "agreed">,
): Promise<void> {
  if (agreed !== undefined && (await readFeeLimit(chain, delegation, agreed.id)) > 0n) return;
  throw outOfScope(delegation, "data set", "one with a limit for the delegate", agreed?.id ?? "one that is not open");
}

/**
 * A state is signed by the user, or by a delegate of the user who may sign it.
 * @param fee of the state
 * @throws InvalidSignatureError; TallystickError OUT_OF_SCOPE naming the delegate; as `SignatureCheck`
 */
export async function requireSignedForUser(
  { chain, index, checkSignature }: Pick<CheckParts, "chain" | "index"> & { readonly checkSignature: SignatureCheck },
  proposal: Pick<Proposal, "row" | "agreed" | "before" | "ranges" | "request">,
  typed: TypedData<DataSetUpdateMessage>,
  fee: bigint,
): Promise<void> {
  const { row, agreed, before, ranges, request } = proposal;
  const account = agreed.terms.user;
  const key = recoverSigner(typed, request.userSignature);
  // Only the user agrees on terms.
  if (key !== undefined && !isAddressEqual(key, account) && before.schedule !== undefined) {
    const limit = await readFeeLimit(chain, { key, account }, agreed.id);
    if (limit > 0n) {
      const requireAll = (kept: readonly SliceRange[], check: string): void => {
        const [dropped] = subtractRanges(kept, ranges);
        if (dropped === undefined) return;
        const received = `none from ${dropped.firstIndex} on, ${dropped.count} of them`;
        throw outOfScope({ key, account }, check, "all of them", received);
      };
      requireAll(before.ranges, "scheduled slices");
      // This state takes the place of those that are signed and not mined: what they add would never be covered.
      const signed = await index.dataSets.statesOf(row.id);
      for (const state of signed.filter((one) => mayCome(one, proposal))) {
        requireAll(decodeLiveRanges(state.ranges), "slices of a state that waits");
      }
      if (fee <= limit) return;
      throw outOfScope({ key, account }, "fee per epoch", `at most ${limit}`, String(fee));
    }
  }
  await checkSignature(account, typed, request.userSignature, "session");
}

/**
 * Whether a key has signed a state that the escrow asks no code about: the user's own, or a delegate's. Nobody but the
 * user opens a set, so the escrow would ask the user's code about what another key has signed.
 * @param isOpen whether the set is on chain
 */
export async function isSendable(
  chain: ChainReader,
  agreed: Pick<AgreedSet, "id" | "terms">,
  state: SignedFields & Pick<CosignedState, "userSignature">,
  isOpen: boolean,
): Promise<boolean> {
  if (isSignedByKey(chain.deployment, agreed, state)) return true;
  if (!isOpen) return false;
  const key = recoverSigner(stateTypedData(chain.deployment, agreed.id, state), state.userSignature);
  if (key === undefined) return false;
  return (await readFeeLimit(chain, { key, account: agreed.terms.user }, agreed.id)) > 0n;
}
