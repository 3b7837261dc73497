/**
 * Signatures of users over states, and which of them the provider pays to bring onto the chain.
 *
 * When a signature is not an ECDSA signature of the account, the escrow asks the account's code (EIP-1271), with up to
 * 500,000 gas at the expense of whoever sends the transaction. That code may say yes whenever it is simulated, and say
 * no or burn the gas when it is mined: it sees the fees and the producer of the block, and its owner can change its
 * storage at any time. No simulation tells such a wallet from an honest one, and a limit on failures would count per
 * account, of which anybody makes more for less than one failure costs the provider. So the provider sends only what
 * the key of the account has signed, which runs no code of a user, and leaves states of wallets to their users: they
 * send them with both signatures, and pay for their own code.
 */
import type { Deployment } from "../../chain/deployment.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import {
  type DataSetUpdateMessage,
  dataSetUpdateTypedData,
  type TypedData,
} from "../../core/identity/typed-messages.ts";
import { recoverSigner } from "../../daemon/account-signature.ts";
import type { AgreedSet, CosignedState } from "../../store/index/data-set-index.ts";
import { packedHash } from "./chain-view.ts";

/** What of a state is signed. */
export type SignedFields = Pick<CosignedState, "version" | "retirements" | "ranges" | "contentHash" | "deadlineBlock">;

/** What both parties sign. */
export function stateTypedData(
  { chainId, contracts }: Deployment,
  dataSetId: string,
  { version, retirements, ranges, contentHash, deadlineBlock }: SignedFields,
): TypedData<DataSetUpdateMessage> {
  return dataSetUpdateTypedData(BigInt(chainId), contracts.storageEscrow, {
    dataSetId,
    version,
    retirements: BigInt(retirements),
    rangesHash: packedHash(ranges),
    contentHash,
    deadlineBlock: BigInt(deadlineBlock),
  });
}

/** Whether the key of the user's account has signed a state, so that no code is asked about it. */
export function isSignedByKey(
  deployment: Deployment,
  { id, terms }: Pick<AgreedSet, "id" | "terms">,
  state: SignedFields & Pick<CosignedState, "userSignature">,
): boolean {
  const signer = recoverSigner(stateTypedData(deployment, id, state), state.userSignature);
  return signer !== undefined && isAddressEqual(signer, terms.user);
}
