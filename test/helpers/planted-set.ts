/** A data set that a thief of an account's key opens in its name, at a provider of the thief's own. */
import { type JsonRpcProvider, Wallet } from "ethers";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import type { Deployment } from "../../offchain/chain/deployment.ts";
import { depositCall, depositCollateralCall, openDataSetCall } from "../../offchain/chain/escrow-calls.ts";
import { encodeLiveRanges, rangesHash } from "../../offchain/core/data-set/ranges.ts";
import { type DataSetAuditTerms, dataSetId } from "../../offchain/core/data-set/terms.ts";
import { dataSetUpdateTypedData } from "../../offchain/core/identity/typed-messages.ts";
import { agreedTerms } from "./agreed-terms.ts";
import { deployZooToken, type ZooToken } from "./zoo-token.ts";

const MONEY = 10n ** 15n;
const CONTENT = `0x${"c0".repeat(32)}`;

export interface PlantedSet {
  readonly id: string;
  readonly provider: string;
  /** In which it pays, and of which the account has a balance that is free. */
  readonly token: ZooToken;
}

/** @param userKey of the account, which has coins */
export async function plantSet(
  deployment: Deployment,
  chain: JsonRpcProvider,
  userKey: Uint8Array,
  thief: Wallet,
): Promise<PlantedSet> {
  const { chainId, contracts } = deployment;
  const user = new Wallet(`0x${Buffer.from(userKey).toString("hex")}`, chain);
  const token = await deployZooToken(thief, "PausableToken");
  const send = async ({ to, data, value }: ContractCall) => {
    await (await thief.sendTransaction({ to, data, value: value ?? 0n })).wait();
  };
  await token.call("mint", [thief.address, 3n * MONEY]);
  await token.call("approve", [contracts.storageEscrow, 3n * MONEY]);
  await send(depositCall(deployment, token.address, user.address, 2n * MONEY));
  await send(depositCollateralCall(deployment, token.address, thief.address, MONEY));
  const audit: DataSetAuditTerms = {
    randomness: contracts.randomness,
    verifier: contracts.possessionVerifier,
    keyHash: `0x${"ab".repeat(32)}`,
    sliceElements: 8192,
    sampleCount: 30,
    phase: 0,
    windowBlocks: 5,
    graceBlocks: 2,
    disputeBond: 1n,
    predecessor: `0x${"00".repeat(32)}`,
    salt: `0x${"5a".repeat(32)}`,
  };
  const terms = agreedTerms(audit, {
    user: user.address,
    provider: thief.address,
    token: token.address,
    feeFloor: 10n ** 6n,
    feePerSlice: 10n ** 3n,
    feePerIndex: 10n ** 3n,
    feeCap: 10n ** 9n,
  });
  const id = dataSetId(BigInt(chainId), contracts.storageEscrow, terms);
  const ranges = [{ firstIndex: 1, count: 1 }];
  const deadlineBlock = BigInt((await chain.getBlockNumber()) + 50);
  const typed = dataSetUpdateTypedData(BigInt(chainId), contracts.storageEscrow, {
    dataSetId: id,
    version: 1n,
    retirements: 0n,
    rangesHash: rangesHash(ranges),
    contentHash: CONTENT,
    deadlineBlock,
  });
  const sign = (by: Wallet) => by.signTypedData(typed.domain, typed.types, typed.message);
  await send(
    openDataSetCall(deployment, terms, audit, {
      version: 1n,
      ranges: encodeLiveRanges(ranges),
      contentHash: CONTENT,
      deadlineBlock,
      userSignature: await sign(user),
      providerSignature: await sign(thief),
    }),
  );
  return { id, provider: thief.address, token };
}
