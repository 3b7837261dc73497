/** Recovery calls of every party on a real chain, sent by a relay with their signatures, and the author's events. */

import { expect } from "chai";
import { AbiCoder, keccak256, type Wallet } from "ethers";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import { scanRecoveries } from "../../offchain/chain/recovery-events.ts";
import {
  approveRecoveryCall,
  encodeRecoveryData,
  openRecoveryCall,
  type RecoverableSecret,
  type RecoveryPlan,
  type RecoveryRequest,
  readFirstLiveVersion,
  readRecovery,
  recoveryDataHash,
  recoveryRequestId,
  recoverySecretId,
  retireVersionsCall,
  vetoRecoveryCall,
} from "../../offchain/chain/recovery-policy.ts";
import { ChainRevertedError } from "../../offchain/chain/revert.ts";
import { TransactionSender } from "../../offchain/chain/sender.ts";
import { RecoveryPolicy__factory } from "../../offchain/chain/types/index.ts";
import {
  recoveryApprovalTypedData,
  recoveryOpeningTypedData,
  recoveryRetirementTypedData,
  recoveryVetoTypedData,
  type TypedData,
} from "../../offchain/core/identity/typed-messages.ts";
import { anvilKey } from "../helpers/anvil.ts";
import { walletOf } from "../helpers/ledger-records.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { collect, failure } from "../helpers/promises.ts";
import { expectRejection } from "../helpers/rejection.ts";

const HOUR = 3600;
const FAR = 2n ** 40n;
const word = (digit: string) => `0x${digit.repeat(64)}`;

describe("recovery policy on a chain", () => {
  const [author, wallet, requester, ...guardians] = [1, 2, 3, 4, 5, 6].map((place) => walletOf(place)) as [
    Wallet,
    Wallet,
    Wallet,
    ...Wallet[],
  ];
  const [first, second] = guardians as [Wallet, Wallet];
  const plan: RecoveryPlan = {
    wallet: { account: wallet.address, delaySeconds: 24 * HOUR },
    // In another order than the contract wants them.
    guardians: { accounts: guardians.map(({ address }) => address), threshold: 2, delaySeconds: HOUR },
    windowSeconds: 48 * HOUR,
  };
  let local: LocalChain;
  let relay: TransactionSender;
  let secret: RecoverableSecret;
  let policy: string;

  before(async () => {
    local = await startLocalChain();
    relay = new TransactionSender(local.chain, anvilKey(1), { retryDelayMs: 5 });
    policy = local.deployment.contracts.recoveryPolicy;
    const ledger = local.deployment.contracts.keyLedger;
    secret = { ledger, recordId: word("1"), version: 3, author: author.address, plan };
  });
  after(() => local.stop());

  async function signed(signer: Wallet, data: TypedData<object>): Promise<{ signature: string; deadline: bigint }> {
    const signature = await signer.signTypedData(data.domain, data.types, { ...data.message });
    return { signature, deadline: FAR };
  }
  const chainId = () => BigInt(local.deployment.chainId);
  const message = (request: RecoveryRequest) => ({
    ...request,
    secretId: recoverySecretId(secret),
    path: request.path === "wallet" ? 0n : 1n,
  });

  async function refusal(call: ContractCall): Promise<string> {
    const error = await failure(relay.send(call));
    expect(error).to.be.instanceOf(ChainRevertedError);
    return (error as ChainRevertedError).revert.name;
  }

  it("hashes plans, secrets and requests as the contract does", async () => {
    const contract = RecoveryPolicy__factory.connect(policy, local.chain.provider);
    const request: RecoveryRequest = {
      path: "guardians",
      proposer: first.address,
      requester: requester.address,
      sessionKey: word("2"),
      number: 7n,
    };
    const plans: RecoveryPlan[] = [
      plan,
      { wallet: { account: wallet.address, delaySeconds: HOUR }, windowSeconds: HOUR },
      { guardians: { accounts: [first.address, second.address], threshold: 2, delaySeconds: 0 }, windowSeconds: HOUR },
    ];
    for (const one of plans) {
      const [data] = AbiCoder.defaultAbiCoder()
        .decode(["tuple(address,uint32,address[],uint8,uint32,uint32)"], encodeRecoveryData(one))
        .toArray(true);
      const dataHash = await contract.dataHashOf(data);
      expect(recoveryDataHash(one))
        .to.equal(dataHash)
        .and.to.equal(keccak256(encodeRecoveryData(one)));
      const id = recoverySecretId({ ...secret, plan: one });
      expect(id).to.equal(await contract.secretIdOf(secret, dataHash));
      expect(recoveryRequestId(id, request)).to.equal(await contract.requestIdOf(id, { ...request, path: 1 }));
    }
  });

  it("lets a relay send what proposers, guardians and the author signed, and tells the author of it", async () => {
    const { deployment } = local;
    const from = (await local.chain.provider.getBlockNumber()) + 1;
    const request: RecoveryRequest = {
      path: "guardians",
      proposer: first.address,
      requester: requester.address,
      sessionKey: word("2"),
      number: 1n,
    };
    const opening = recoveryOpeningTypedData(chainId(), policy, { ...message(request), deadline: FAR });
    await relay.send(openRecoveryCall(deployment, secret, request, await signed(first, opening)));
    expect(await readRecovery(local.chain, secret, request)).to.deep.include({
      number: 1n,
      approvals: 1,
      releasableAt: undefined,
      isBarred: false,
    });
    const approval = recoveryApprovalTypedData(chainId(), policy, {
      ...message(request),
      guardian: second.address,
    });
    const byRequester = await signed(requester, approval);
    const approving = (relayed: { signature: string }) =>
      approveRecoveryCall(deployment, secret, request, second.address, relayed);
    expect(await refusal(approving(byRequester))).to.equal("InvalidSignature");
    await relay.send(approving(await signed(second, approval)));
    const state = await readRecovery(local.chain, secret, request);
    const requestId = recoveryRequestId(recoverySecretId(secret), request);
    expect(state).to.deep.include({ requestId, approvals: 2 });
    expect(state.closesAt - (state.releasableAt ?? 0)).to.equal(48 * HOUR);

    const veto = recoveryVetoTypedData(chainId(), policy, {
      secretId: recoverySecretId(secret),
      path: 1n,
      proposer: first.address,
    });
    const vetoing = (relayed: { signature: string }) => vetoRecoveryCall(deployment, secret, request, relayed);
    expect(await refusal(vetoing(await signed(first, veto)))).to.equal("InvalidSignature");
    await relay.send(vetoing(await signed(author, veto)));
    expect(await readRecovery(local.chain, secret, request)).to.include({ isBarred: true });

    const retirement = recoveryRetirementTypedData(chainId(), policy, {
      ledger: secret.ledger,
      recordId: secret.recordId,
      firstVersion: 4n,
      author: author.address,
    });
    expect(await readFirstLiveVersion(local.chain, secret)).to.equal(0);
    await relay.send(retireVersionsCall(deployment, secret, 4, await signed(author, retirement)));
    expect(await readFirstLiveVersion(local.chain, secret)).to.equal(4);
    expect(await refusal(vetoing(await signed(author, veto)))).to.equal("VersionRetired");

    const to = await local.chain.provider.getBlockNumber();
    const events = await collect(scanRecoveries(local.chain, author.address, from, to));
    expect(events.map(({ kind }) => kind)).to.deep.equal([
      "RecoveryRequested",
      "RecoveryApproved",
      "RecoveryApproved",
      "RecoveryScheduled",
      "RecoveryVetoed",
      "VersionsRetired",
    ]);
    const { recordId, version } = secret;
    expect(events[0]).to.deep.include({ author: author.address, requestId, request, recordId, version });
    expect(events[2]).to.include({ guardian: second.address, approvals: 2, threshold: 2, requestId });
    expect(events[3]).to.include({ releasableAt: state.releasableAt, requester: requester.address });
    expect(events[4]).to.include({ proposer: first.address, path: "guardians", requestId });
    expect(events[5]).to.include({ firstLiveVersion: 4, recordId });
    expect(await collect(scanRecoveries(local.chain, wallet.address, from, to))).to.deep.equal([]);
  });

  const { guardians: group } = plan;
  const wrong: readonly [string, RecoveryPlan][] = [
    ["recovery plan", { windowSeconds: HOUR }],
    ["recovery wallet", { ...plan, wallet: { account: `0x${"0".repeat(40)}`, delaySeconds: HOUR } }],
    ["delay of the wallet", { ...plan, wallet: { account: wallet.address, delaySeconds: HOUR - 1 } }],
    ["delay of the wallet", { ...plan, wallet: { account: wallet.address, delaySeconds: 2 ** 32 } }],
    ["guardians", { ...plan, guardians: { accounts: [], threshold: 0, delaySeconds: 0 } }],
    [
      "guardians",
      {
        ...plan,
        guardians: { accounts: [first.address, first.address.toLowerCase()], threshold: 2, delaySeconds: HOUR },
      },
    ],
    ["guardian", { ...plan, guardians: { accounts: ["alice"], threshold: 1, delaySeconds: HOUR } }],
    ["threshold", { ...plan, guardians: { ...group, accounts: [first.address], threshold: 2, delaySeconds: HOUR } }],
    ["delay of the guardians", { ...plan, guardians: { accounts: [first.address], threshold: 1, delaySeconds: 0 } }],
    ["delay of the guardians", { ...plan, guardians: { accounts: [first.address], threshold: 1, delaySeconds: 1.5 } }],
    ["window", { ...plan, windowSeconds: 366 * 24 * HOUR }],
  ];
  it("seals nothing under a plan that the contract would refuse", () => {
    for (const [check, one] of wrong) {
      expect(expectRejection(() => encodeRecoveryData(one), "INVALID_INPUT")).to.include({ check });
    }
  });
});
