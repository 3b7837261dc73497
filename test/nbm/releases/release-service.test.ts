/** Sealed secrets released by nodes with real keys, as the policies on a real chain allow. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { getAddress, hexlify, keccak256, TypedDataEncoder, verifyTypedData, type Wallet } from "ethers";
import { requireReceipt } from "../../../offchain/agent/keys/release-receipts.ts";
import {
  encodeRecoveryData,
  openRecoveryCall,
  type RecoverableSecret,
  vetoRecoveryCall,
} from "../../../offchain/chain/recovery-policy.ts";
import { confirmedBlock, NotReleasedError, requireRelease } from "../../../offchain/chain/release-policy.ts";
import { hpkeKeyPairFromSeed } from "../../../offchain/core/crypto/hpke.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { releaseRequestTypedData } from "../../../offchain/core/identity/typed-messages.ts";
import { oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import { openSecret } from "../../../offchain/core/sealed-secrets/decryption-share.ts";
import type { SecretLabel } from "../../../offchain/core/sealed-secrets/label.ts";
import { releaseReceipt } from "../../../offchain/core/sealed-secrets/release-receipt.ts";
import { checkSealed, sealSecret } from "../../../offchain/core/sealed-secrets/sealed-secret.ts";
import { openShareReply } from "../../../offchain/core/sealed-secrets/share-reply.ts";
import { ReleaseAnswer, ReleaseRequestBody } from "../../../offchain/core/wire/release.ts";
import { firstMismatch } from "../../../offchain/core/wire/schema.ts";
import { checkAccountSignature } from "../../../offchain/daemon/account-signature.ts";
import { BUDGET_TABLES, Budgets } from "../../../offchain/daemon/quota.ts";
import { RELEASE_TABLES, ReleaseReceipts } from "../../../offchain/nbm/releases/release-receipts.ts";
import { ReleaseService } from "../../../offchain/nbm/releases/release-service.ts";
import { sqliteScript } from "../../../offchain/store/index/sql/column-types.ts";
import { type Database, openDatabase } from "../../../offchain/store/index/sqlite.ts";
import { type Committee, completeRun, range, recordKeys, SCOPE, sharesOf } from "../../helpers/committee-run.ts";
import { walletOf } from "../../helpers/ledger-records.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { failure } from "../../helpers/promises.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { deployOddPolicy } from "../../helpers/zoo-policy.ts";

const PAYLOAD = new TextEncoder().encode("the identity");
const SIZE = 4;
const THRESHOLD = 3;
const DAY = 86_400;
const MAXIMUM_AGE = 600;
const BUDGET = { scope: "releases", capacity: 20, periodSeconds: DAY };

describe("release of sealed secrets by nodes", () => {
  const requester = walletOf(1);
  const session = hpkeKeyPairFromSeed(new Uint8Array(32).fill(5));
  const policyData: Uint8Array = new TextEncoder().encode("data");
  let local: LocalChain;
  let committee: Committee;
  let folder: string;
  let database: Database;
  let receipts: ReleaseReceipts;
  let budgets: Budgets;
  let yes: string;

  before(async () => {
    await oprfReady();
    local = await startLocalChain();
    committee = completeRun({ size: SIZE, threshold: THRESHOLD });
    yes = await deployOddPolicy(local.account(1), "Yes");
  });
  after(() => local.stop());
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-releases-"));
    database = openDatabase(join(folder, "nbm.db"), {
      migrations: [`${RELEASE_TABLES}${sqliteScript(BUDGET_TABLES)}`],
    });
    receipts = new ReleaseReceipts(database);
    budgets = new Budgets(database);
  });
  afterEach(() => {
    database.close();
    rmSync(folder, { recursive: true });
  });

  const operatorOf = (index: number): string => walletOf(20 + index).address;

  function nodeOf(index: number, now = () => Math.floor(Date.now() / 1000)): ReleaseService {
    const { chain } = local;
    const operator = walletOf(20 + index);
    return new ReleaseService({
      chain,
      checkSignature: (account, typed, signature) => checkAccountSignature(chain, account, typed, signature),
      operator: operator.address,
      shareOf: (committeeId, generation) => {
        if (committeeId !== SCOPE.committeeId || generation !== 1) return undefined;
        return { keys: recordKeys(committee), index, keyShare: sharesOf(committee, index).record.slice() };
      },
      receipts,
      charge: (account) => budgets.take(BUDGET, account, 1),
      sign: ({ domain, types, message }) =>
        operator.signingKey.sign(TypedDataEncoder.hash(domain, types, { ...message })).serialized,
      confirmations: 1,
      maximumAgeSeconds: MAXIMUM_AGE,
      now,
    });
  }

  /** As the route does, in a session of the account that asks. */
  const ask = (request: ReleaseRequestBody, node = 1) => nodeOf(node).release(getAddress(request.account), request);

  function labelUnder(policy: string, data: Uint8Array = policyData): SecretLabel {
    const { chainId, contracts } = local.deployment;
    return {
      ledger: { chainId: BigInt(chainId), keyLedger: contracts.keyLedger },
      recordId: new Uint8Array(32).fill(9),
      version: 2,
      author: local.account(2).address,
      policy,
      policyDataHash: fromHex(keccak256(data)),
    };
  }

  interface Asked {
    readonly label: SecretLabel;
    readonly sealed: Uint8Array;
    readonly data?: Uint8Array;
    readonly by?: Wallet;
    readonly node?: number;
    readonly expiresAt?: number;
  }

  async function requestFor({ label, sealed, data = policyData, by = requester, node = 1, ...times }: Asked) {
    const { chainId, keyLedger } = label.ledger;
    const { name } = checkSealed(recordKeys(committee).groupPublicKey, label, sealed);
    const { expiresAt = Math.floor(Date.now() / 1000) + 600 } = times;
    const sessionKey = toHex(session.publicKey);
    const typed = releaseRequestTypedData(chainId, keyLedger, {
      secret: toHex(name),
      account: by.address,
      sessionKey,
      node: operatorOf(node),
      expiresAt: BigInt(expiresAt),
    });
    const body: ReleaseRequestBody = {
      committeeId: String(SCOPE.committeeId),
      generation: 1,
      recordId: toHex(label.recordId),
      version: label.version,
      author: label.author,
      policy: label.policy,
      policyData: toHex(data),
      evidence: "0x",
      secret: toHex(sealed),
      account: by.address,
      sessionKey,
      expiresAt,
      signature: await by.signTypedData(typed.domain, typed.types, { ...typed.message }),
    };
    expect(firstMismatch(ReleaseRequestBody, body)).to.equal(undefined);
    return body;
  }

  function seal(label: SecretLabel): Uint8Array {
    return sealSecret(recordKeys(committee).groupPublicKey, label, PAYLOAD);
  }

  /** Asks nodes, opens their replies and combines them. */
  async function collectFrom(nodes: readonly number[], asked: Omit<Asked, "node">): Promise<Uint8Array> {
    const secret = checkSealed(recordKeys(committee).groupPublicKey, asked.label, asked.sealed);
    const shares = new Map<number, Uint8Array>();
    for (const node of nodes) {
      const request = await requestFor({ ...asked, node });
      const answer = await ask(request, node);
      expect(firstMismatch(ReleaseAnswer, answer)).to.equal(undefined);
      const { index, sealed } = answer;
      shares.set(index, await openShareReply(secret, request.account, session.privateKey, fromHex(sealed)));
    }
    return openSecret(secret, recordKeys(committee), shares).payload;
  }

  it("opens for the requester with the shares of any quorum, and keeps a receipt of each", async () => {
    const label = labelUnder(yes);
    const asked = { label, sealed: seal(label) };
    for (const quorum of [range(THRESHOLD), range(SIZE).slice(-THRESHOLD)]) {
      expect(await collectFrom(quorum, asked)).to.deep.equal(PAYLOAD);
    }
    const { name } = checkSealed(recordKeys(committee).groupPublicKey, label, asked.sealed);
    const [receipt, ...others] = receipts.of(toHex(name));
    // All nodes of this test share one database, and the request to each is the same release.
    expect(others).to.deep.equal([]);
    expect(receipt).to.include({ account: requester.address, policy: yes, sessionKey: toHex(session.publicKey) });
    expect(receipt?.blockHash).to.equal((await local.chain.provider.getBlock(receipt?.blockNumber ?? 0))?.hash);
  });

  it("signs the receipt that it keeps, and answers a repeated request with the same one", async () => {
    const label = labelUnder(yes);
    const request = await requestFor({ label, sealed: seal(label) });
    const first = await ask(request);
    await local.mine(1);
    const second = await ask(request);
    expect(second.receipt).to.deep.equal(first.receipt);
    const { name } = checkSealed(recordKeys(committee).groupPublicKey, label, fromHex(request.secret));
    const { blockNumber, blockHash, releasedAt, signature } = first.receipt;
    expect(receipts.of(toHex(name))).to.have.length(1);
    expect(receipts.of(toHex(name))[0]).to.deep.include({
      ...{ blockNumber, blockHash, releasedAt, receiptSignature: signature, signature: request.signature },
    });
    const { domain, types, message } = releaseReceipt(label, {
      ...{ secret: toHex(name), evidence: "0x", account: requester.address, sessionKey: request.sessionKey },
      ...{ blockNumber, blockHash, releasedAt },
    });
    expect(verifyTypedData(domain, types, { ...message }, signature)).to.equal(operatorOf(1));
    // Another question of the same requester is another release.
    const shown = await ask({ ...request, evidence: "0x1234" });
    expect(shown.receipt.signature).not.to.equal(signature);
    expect(receipts.of(toHex(name)).map(({ evidence }) => evidence)).to.deep.equal(["0x", "0x1234"]);
  });

  it("gives whoever repeats a request after hours a receipt that the requester takes", async () => {
    const label = labelUnder(yes);
    const sealed = seal(label);
    const secret = checkSealed(recordKeys(committee).groupPublicKey, label, sealed);
    await ask(await requestFor({ label, sealed }));
    database.exec("UPDATE release_receipts SET released_at = released_at - 7200");
    const request = await requestFor({ label, sealed });
    const { receipt } = await ask(request);
    await requireReceipt(
      local.chain,
      {
        ...{ secret, evidence: "0x", account: requester.address, sessionKey: request.sessionKey },
        ...{ operator: operatorOf(1), party: "node 1" },
      },
      receipt,
    );
    expect(receipts.of(toHex(secret.name))).to.have.length(2);
  });

  it("keeps what shows to anybody whether the policy allowed the release in the block of the receipt", async () => {
    const { chain, deployment } = local;
    const plan = { wallet: { account: requester.address, delaySeconds: DAY }, windowSeconds: DAY };
    const data = encodeRecoveryData(plan);
    const label = labelUnder(deployment.contracts.recoveryPolicy, data);
    const secret: RecoverableSecret = {
      ...{ ledger: deployment.contracts.keyLedger, recordId: toHex(label.recordId) },
      ...{ version: label.version, author: label.author, plan },
    };
    const opening = {
      ...{ path: "wallet" as const, proposer: requester.address, requester: requester.address },
      ...{ sessionKey: toHex(session.publicKey), number: 1n },
    };
    await local.fund([requester.address]);
    const before = await confirmedBlock(chain, 1);
    const { to, data: call } = openRecoveryCall(deployment, secret, opening);
    await (await requester.connect(chain.provider).sendTransaction({ to, data: call })).wait();
    await chain.provider.send("evm_increaseTime", [DAY]);
    await local.mine(1);
    const sealed = seal(label);
    await ask(await requestFor({ label, sealed, data }));
    // The request is over by now: only the state of that block says yes.
    await chain.provider.send("evm_increaseTime", [2 * DAY]);
    await local.mine(1);

    const { name } = checkSealed(recordKeys(committee).groupPublicKey, label, sealed);
    const [kept] = receipts.of(toHex(name));
    if (kept === undefined) throw new Error("no receipt");
    const question = {
      label: {
        ...{ ledger: label.ledger, recordId: fromHex(kept.recordId), version: kept.version },
        ...{ author: kept.author, policy: kept.policy, policyDataHash: fromHex(keccak256(kept.policyData)) },
      },
      ...{ policyData: fromHex(kept.policyData), requester: kept.account },
      ...{ sessionKey: fromHex(kept.sessionKey), evidence: fromHex(kept.evidence) },
    };
    await requireRelease(chain, question, { number: kept.blockNumber, hash: kept.blockHash, time: 0 });
    for (const block of [before, await confirmedBlock(chain, 1)]) {
      expect(await failure(requireRelease(chain, question, block))).to.include({ refusal: "said no" });
    }
  });

  it("releases nothing on a state that is old by its clock", async () => {
    const label = labelUnder(yes);
    await local.mine(1);
    const { time } = await confirmedBlock(local.chain, 1);
    const request = await requestFor({ label, sealed: seal(label) });
    const ahead = time + MAXIMUM_AGE + 1;
    // Signed for that time, so that only the block is too old.
    const late = await requestFor({ label, sealed: fromHex(request.secret), expiresAt: ahead + 600 });
    const node = nodeOf(1, () => ahead);
    const error = await expectAsyncRejection(() => node.release(late.account, late), "CHAIN_UNAVAILABLE");
    expect(error).to.include({ check: "age of the confirmed block", retryable: true });
    expect(receipts.of(toHex(checkSealed(recordKeys(committee).groupPublicKey, label, fromHex(late.secret)).name))).to
      .be.empty;
    await local.chain.provider.send("evm_setNextBlockTimestamp", [ahead]);
    await local.mine(1);
    await node.release(late.account, late);
  });

  it("takes addresses in any case", async () => {
    const label = labelUnder(yes);
    const request = await requestFor({ label, sealed: seal(label) });
    const swapped = (address: string) => `0x${address.slice(2).toUpperCase()}`;
    await ask({ ...request, policy: swapped(request.policy), author: swapped(request.author) });
  });

  it("answers an account only in a session of its own", async () => {
    const label = labelUnder(yes);
    const request = await requestFor({ label, sealed: seal(label) });
    const error = await expectAsyncRejection(() => nodeOf(1).release(operatorOf(3), request), "NOT_OWNER");
    expect(error.party).to.equal(`account ${operatorOf(3)}`);
  });

  it("looks at as many requests of an account as its budget has, and counts no forged ones", async () => {
    const label = labelUnder(await deployOddPolicy(local.account(1), "No"));
    const request = await requestFor({ label, sealed: seal(label) });
    const forged = { ...request, signature: `0x${"11".repeat(65)}` };
    for (let turn = 0; turn < BUDGET.capacity; turn++) {
      await expectAsyncRejection(() => ask(forged), "INVALID_SIGNATURE");
      expect(await failure(ask(request))).to.include({ refusal: "said no" });
    }
    const error = await expectAsyncRejection(() => ask(request), "RATE_LIMITED");
    expect(error.party).to.equal(`account ${requester.address}`);
    const other = await requestFor({ by: walletOf(3), label, sealed: fromHex(request.secret) });
    expect(await failure(ask(other))).to.include({ refusal: "said no" });
    // As a delegate of the first one, it has no more than that.
    const byDelegate = () => nodeOf(1).release(walletOf(3).address, other, requester.address);
    expect(await expectAsyncRejection(byDelegate, "RATE_LIMITED")).to.include({
      party: `account ${requester.address}`,
    });
  });

  it("follows the recovery policy: not before the delay, then to the wallet, and never after a veto", async () => {
    const { deployment, chain } = local;
    const wallet = local.account(3);
    const plan = { wallet: { account: wallet.address, delaySeconds: DAY }, windowSeconds: DAY };
    const data = encodeRecoveryData(plan);
    const base = labelUnder(deployment.contracts.recoveryPolicy, data);
    const send = async (call: { to: string; data: string }, place: number) => {
      await (await local.account(place).sendTransaction({ to: call.to, data: call.data })).wait();
    };
    for (const [fill, isVetoed] of [
      [1, false],
      [2, true],
    ] as const) {
      const label = { ...base, recordId: new Uint8Array(32).fill(fill) };
      const asked = { label, sealed: seal(label), data, by: wallet as unknown as Wallet };
      const secret: RecoverableSecret = {
        ledger: deployment.contracts.keyLedger,
        recordId: toHex(label.recordId),
        version: label.version,
        author: label.author,
        plan,
      };
      const request = {
        path: "wallet" as const,
        proposer: wallet.address,
        requester: wallet.address,
        sessionKey: toHex(session.publicKey),
        number: 1n,
      };
      await send(openRecoveryCall(deployment, secret, request), 3);
      expect(await failure(collectFrom([1], asked))).to.include({ refusal: "said no" });
      if (isVetoed) await send(vetoRecoveryCall(deployment, secret, request), 2);
      await chain.provider.send("evm_increaseTime", [DAY]);
      await local.mine(1);
      if (isVetoed) expect(await failure(collectFrom([1], asked))).to.include({ refusal: "said no" });
      else expect(await collectFrom(range(THRESHOLD), asked)).to.deep.equal(PAYLOAD);
      // Nobody else, the author included.
      expect(await failure(collectFrom([1], { ...asked, by: requester }))).to.include({ refusal: "said no" });
    }
  });

  it("gives nothing when the policy fails, and keeps no receipt", async () => {
    for (const [answer, refusal] of [
      ["No", "said no"],
      ["Loops", "out of gas"],
      ["RevertsWithYes", "reverted"],
      ["HighBit", "malformed answer"],
    ] as const) {
      const label = labelUnder(await deployOddPolicy(local.account(1), answer));
      const sealed = seal(label);
      const error = await failure(ask(await requestFor({ label, sealed })));
      expect(error).to.be.instanceOf(NotReleasedError).and.to.include({ refusal });
      const { name } = checkSealed(recordKeys(committee).groupPublicKey, label, sealed);
      expect(receipts.of(toHex(name))).to.deep.equal([]);
    }
  });

  it("refuses sealed bytes under a policy, author, version or data that they were not sealed under", async () => {
    const label = labelUnder(await deployOddPolicy(local.account(1), "No"));
    const request = await requestFor({ label, sealed: seal(label) });
    const moved: Partial<ReleaseRequestBody>[] = [
      { policy: yes },
      { author: requester.address },
      { version: 3 },
      { recordId: `0x${"08".repeat(32)}` },
      { policyData: "0x" },
    ];
    for (const change of moved) {
      await expectAsyncRejection(() => ask({ ...request, ...change }), "INVALID_PROOF");
    }
  });

  it("answers only what the account signed for this node, this session key and this secret", async () => {
    const label = labelUnder(yes);
    const request = await requestFor({ label, sealed: seal(label) });
    const forged: [number, Partial<ReleaseRequestBody>][] = [
      [2, {}],
      [1, { sessionKey: hexlify(new Uint8Array(32).fill(7)) }],
      [1, { account: operatorOf(9) }],
      [1, { expiresAt: request.expiresAt + 1 }],
      [1, { secret: toHex(seal(label)) }],
      [1, { expiresAt: 1 }],
    ];
    for (const [node, change] of forged) {
      await expectAsyncRejection(() => ask({ ...request, ...change }, node), "INVALID_SIGNATURE");
    }
    await ask(request);
  });

  it("has nothing to give of a generation, or a committee, that it holds no key share of", async () => {
    const label = labelUnder(yes);
    const request = await requestFor({ label, sealed: seal(label) });
    await expectAsyncRejection(() => ask({ ...request, generation: 2 }), "NOT_FOUND");
    await expectAsyncRejection(() => ask({ ...request, committeeId: "8" }), "NOT_FOUND");
  });
});
