import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { Contract, ContractFactory, type InterfaceAbi } from "ethers";
import { randomBytes, sha256 } from "#primitives";
import {
  approveCall,
  balanceOf,
  cancelCall,
  closeCall,
  type EscrowEvent,
  NATIVE_TOKEN,
  proposeCall,
  proposedAgreementId,
  readAgreement,
  reportMissCall,
  scanEscrow,
  type Terms,
} from "../../offchain/chain/escrow.ts";
import { TransactionSender } from "../../offchain/chain/sender.ts";
import { amountsFromOffer } from "../../offchain/core/agreement/offer.ts";
import { decodeProof } from "../../offchain/core/audit/proof.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { verifyPrivate } from "../../offchain/core/audit/verifier.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { AgreementStatus, type Offer } from "../../offchain/core/wire/csp.ts";
import { parseAnswer } from "../../offchain/core/wire/schema.ts";
import { termsFor } from "../csp/agreement-terms.ts";
import { AuditedData } from "../csp/audited-data.ts";
import { randomChunk, type TestChunk } from "../csp/provider-fixture.ts";
import { type ProviderClient, ProviderProcess, TEST_OFFER } from "../csp/provider-process.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { damageObjects } from "../helpers/pack-files.ts";
import { until } from "../helpers/promises.ts";

describe("agreements of a provider", () => {
  const seed = randomBytes(32);
  let local: LocalChain;
  let provider: ProviderProcess;
  let user: TransactionSender;
  let reporter: TransactionSender;
  let client: ProviderClient;
  let offer: Offer;

  before(async () => {
    await auditReady();
    local = await startLocalChain();
    user = new TransactionSender(local.chain, fromHex(local.account(1).privateKey));
    reporter = new TransactionSender(local.chain, fromHex(local.account(2).privateKey));
  });
  after(() => local.stop());
  beforeEach(async () => {
    provider = await ProviderProcess.prepare(local);
    await provider.start();
    client = await provider.connect(local.account(1));
    offer = (await provider.request("GET", "/v1/offer")).json as Offer;
  });
  afterEach(() => provider.remove());

  const head = () => local.chain.provider.getBlockNumber();
  const events = async (id: bigint): Promise<EscrowEvent[]> => {
    const found = [];
    for await (const event of scanEscrow(local.chain, 0, await head()))
      if ("id" in event && event.id === id) found.push(event);
    return found;
  };
  const status = async (id: bigint): Promise<AgreementStatus> =>
    parseAnswer(AgreementStatus, (await client.request("GET", `/v1/agreements/${id}`)).json, "provider");

  async function prepared(chunks: TestChunk[] = [randomChunk(300_000), randomChunk(150_000)]): Promise<AuditedData> {
    await client.upload(...chunks);
    const data = new AuditedData(seed, chunks);
    expect((await client.prepare(data)).state).to.equal("verified");
    return data;
  }

  const termsOf = async (data: AuditedData, over: Partial<Terms> = {}): Promise<Terms> =>
    termsFor(data, { provider: provider.operator, offer, startBlock: (await head()) + 8 }, over);

  async function propose(terms: Terms): Promise<bigint> {
    const receipt = await user.send(proposeCall(local.deployment, terms));
    return proposedAgreementId(local.deployment, receipt);
  }

  const accept = (id: bigint, data: AuditedData) =>
    client.request("POST", "/v1/agreements", { body: { agreementId: String(id), salt: data.saltHex } });

  async function agreed(data: AuditedData, over: Partial<Terms> = {}): Promise<{ id: bigint; terms: Terms }> {
    const terms = await termsOf(data, over);
    const id = await propose(terms);
    const answer = await accept(id, data);
    expect(answer.status, JSON.stringify(answer.json)).to.equal(200);
    return { id, terms };
  }

  /** Mines up to the block after the challenge block of an epoch: from there a proof counts. */
  async function openEpoch({ startBlock, epochBlocks }: Terms, epoch: number): Promise<void> {
    const target = Number(startBlock) + epoch * epochBlocks + 1;
    const now = await head();
    if (now < target) await local.mine(target - now);
  }

  async function passEpoch({ startBlock, epochBlocks, windowBlocks }: Terms, epoch: number): Promise<void> {
    const target = Number(startBlock) + epoch * epochBlocks + windowBlocks;
    const now = await head();
    if (now < target) await local.mine(target - now);
  }

  const proven = (id: bigint, count: number) =>
    until(
      `${count} epochs of ${id} proven`,
      async () => ((await readAgreement(local.chain, id))?.epochsProven ?? 0) >= count,
    );

  /** Damages every stored byte of every chunk. */
  function damage(): void {
    damageObjects(join(provider.dataDir, "store"), 1);
  }

  it("are accepted, audited in private, proven on chain each epoch, paid, wound up and withdrawn", async () => {
    const data = await prepared();
    const { id, terms } = await agreed(data);
    expect((await readAgreement(local.chain, id))?.status).to.equal("active");
    expect(await status(id)).to.deep.include({ state: "active", health: "unknown", provenEpochs: 0 });
    expect((await client.request("GET", `/v1/preparations/${data.saltHex}`)).json.state).to.equal("agreed");

    const challenge = randomBytes(32);
    const audit = await client.request("POST", `/v1/agreements/${id}/audit`, {
      body: { seed: toHex(challenge), sampleCount: 20 },
    });
    const proof = decodeProof(fromHex(audit.json.proof));
    const asked = { seed: challenge, sampleCount: 20, ranges: [{ firstIndex: 1, count: data.sliceCount }] };
    verifyPrivate(data.secrets, data.x, asked, proof);
    expect(() => verifyPrivate(data.secrets, data.x, { ...asked, seed: sha256(challenge) }, proof)).to.throw();

    for (let epoch = 0; epoch < 3; epoch++) {
      await openEpoch(terms, epoch);
      await proven(id, epoch + 1);
      expect(await balanceOf(local.chain, NATIVE_TOKEN, provider.operator)).to.equal(
        terms.feePerEpoch * BigInt(epoch + 1),
      );
    }
    await until("the status tells of it", async () => (await status(id)).provenEpochs === 3);
    const told = await status(id);
    expect(told).to.include({ health: "good", failedEpochs: 0 });
    const lastProven = (await events(id)).findLast(({ kind }) => kind === "EpochProven");
    expect(told.lastProof).to.include({ epoch: 2, transactionHash: lastProven?.transactionHash });
    expect(await provider.metric("tallystick_csp_proofs_sent_total")).to.equal(3);
    expect(await provider.metric("tallystick_csp_audits_answered_total")).to.equal(1);

    await passEpoch(terms, 2);
    await until("withdrawn", async () => (await status(id)).state === "ended");
    await until("paid out", async () => (await balanceOf(local.chain, NATIVE_TOKEN, provider.operator)) === 0n);
    const ended = (await events(id)).find(({ kind }) => kind === "AgreementEnded");
    expect(ended).to.include({ breached: false, epochsProven: 3, providerCredit: terms.collateral });
    const refused = await client.request("POST", `/v1/agreements/${id}/audit`, {
      body: { seed: toHex(challenge), sampleCount: 1 },
    });
    expect(refused.json.error.code).to.equal("CONFLICT");
  });

  it("go on after kill -9: proven once per epoch, whatever was under way", async () => {
    const data = await prepared();
    const { id, terms } = await agreed(data, { epochs: 4 });
    for (let epoch = 0; epoch < 4; epoch++) {
      await openEpoch(terms, epoch);
      if (epoch % 2 === 0) await new Promise((resolve) => setTimeout(resolve, 200 * Math.random()));
      else await proven(id, epoch + 1);
      await provider.end("SIGKILL");
      await provider.start();
      await proven(id, epoch + 1);
    }
    const kinds = (await events(id)).filter(({ kind }) => kind === "EpochProven");
    expect(kinds.map((event) => "epoch" in event && event.epoch)).to.deep.equal([0, 1, 2, 3]);
    const sent = [];
    for (let number = 0; number <= (await head()); number++) {
      const block = await local.chain.provider.getBlock(number, true);
      sent.push(...(block?.prefetchedTransactions ?? []).filter(({ from }) => from === provider.operator));
    }
    // One acceptance and one transaction per proof: nothing was sent twice.
    expect(sent.length).to.equal(5);
  });

  it("cannot be proven once bytes are damaged: no transaction, loud status, miss, compensation, breach", async () => {
    const data = await prepared();
    const { id, terms } = await agreed(data);
    await openEpoch(terms, 0);
    await proven(id, 1);
    const nonce = await local.chain.provider.getTransactionCount(provider.operator);

    damage();
    await openEpoch(terms, 1);
    await until("the status tells of it", async () => (await status(id)).health === "damaged");
    const told = await status(id);
    expect(told.healthDetail).to.contain("epoch 1").and.contain("chunks are damaged");
    expect(provider.log).to.contain("DATA DAMAGED").and.contain(data.manifest.chunks[0]?.id);
    expect(await provider.metric("tallystick_csp_damaged_agreements")).to.equal(1);
    expect(await provider.metric("tallystick_csp_proofs_failed_total")).to.be.greaterThan(0);

    const before = await balanceOf(local.chain, NATIVE_TOKEN, user.address);
    const bountyBefore = await balanceOf(local.chain, NATIVE_TOKEN, reporter.address);
    for (const epoch of [1, 2]) {
      await passEpoch(terms, epoch);
      if (epoch === 2) break;
      await reporter.send(reportMissCall(local.deployment, id, epoch));
      expect((await balanceOf(local.chain, NATIVE_TOKEN, user.address)) - before).to.equal(
        terms.feePerEpoch + terms.compensationPerMiss,
      );
      expect((await balanceOf(local.chain, NATIVE_TOKEN, reporter.address)) - bountyBefore).to.equal(
        terms.bountyPerMiss,
      );
    }
    await until("the daemon notices the miss", async () => provider.log.includes("EPOCH MISSED"));
    expect(await provider.metric("tallystick_csp_epochs_missed_total")).to.be.greaterThan(0);
    await until("it is wound up", async () => (await readAgreement(local.chain, id))?.status === "closed");
    const ended = (await events(id)).find(({ kind }) => kind === "AgreementEnded");
    expect(ended).to.include({ epochsProven: 1, epochsMissed: 1, epochsLapsed: 1 });
    await until("paid out", async () => (await balanceOf(local.chain, NATIVE_TOKEN, provider.operator)) === 0n);
    // The only transactions since the damage: close and withdraw.
    expect(await local.chain.provider.getTransactionCount(provider.operator)).to.equal(nonce + 2);
  });

  it("that are breached are wound up at once, and what is left of the collateral comes back", async () => {
    const data = await prepared();
    const { id, terms } = await agreed(data, { epochs: 50 });
    writeFileSync(join(provider.dataDir, "preparations", "1", "tags"), data.tags.toReversed());
    await openEpoch(terms, 0);
    await until("damaged", async () => (await status(id)).health === "damaged");
    expect((await status(id)).healthDetail).to.contain("tags or powers are damaged");
    for (const epoch of [0, 1]) {
      await passEpoch(terms, epoch);
      await reporter.send(reportMissCall(local.deployment, id, epoch));
    }
    await until("wound up", async () => (await readAgreement(local.chain, id))?.status === "closed");
    await until("ended here", async () => (await status(id)).state === "ended");
  });

  it("can be proven again when an owner repairs the data within the window", async () => {
    const chunks = [randomChunk(300_000), randomChunk(150_000)];
    const data = await prepared(chunks);
    const { id, terms } = await agreed(data);
    damage();
    await openEpoch(terms, 0);
    await until("damaged", async () => (await status(id)).health === "damaged");
    await client.upload(...chunks);
    await proven(id, 1);
    await until("good again", async () => (await status(id)).health === "good");
    expect((await status(id)).failedEpochs).to.equal(0);
  });

  it("are found after a crash between acceptance and answer, and asking again is answered the same", async () => {
    const data = await prepared();
    const terms = await termsOf(data, { startBlock: BigInt((await head()) + 30) });
    const id = await propose(terms);
    const dying = accept(id, data).catch(() => undefined);
    await until("sent", async () => (await readAgreement(local.chain, id))?.status === "active");
    await provider.end("SIGKILL");
    await dying;
    await provider.start();
    client = await provider.connect(local.account(1));
    const first = await accept(id, data);
    expect(first.status, JSON.stringify(first.json)).to.equal(200);
    const accepted = (await events(id)).find(({ kind }) => kind === "AgreementAccepted");
    expect(first.json).to.deep.equal({
      agreementId: String(id),
      transactionHash: accepted?.transactionHash,
      blockNumber: accepted?.blockNumber,
    });
    expect((await accept(id, data)).json).to.deep.equal(first.json);
    await openEpoch(terms, 0);
    await proven(id, 1);
  });

  it("are continued when the acceptance was mined meanwhile, and proofs in the pool are not sent again", async () => {
    const data = await prepared();
    const terms = await termsOf(data, { startBlock: BigInt((await head()) + 15), epochs: 2 });
    const id = await propose(terms);
    const pendingNonce = () => local.chain.provider.getTransactionCount(provider.operator, "pending");
    await local.chain.provider.send("evm_setAutomine", [false]);
    try {
      const dying = accept(id, data).catch(() => undefined);
      await until("the acceptance is in the pool", async () => (await pendingNonce()) === 1);
      await provider.end("SIGKILL");
      await dying;
      await local.mine(1);
      await provider.start();
      client = await provider.connect(local.account(1));
      await until("taken up", async () => (await status(id)).state === "active");

      await openEpoch(terms, 0);
      await until("the proof is in the pool", async () => (await pendingNonce()) === 2);
      await provider.end("SIGKILL");
      await provider.start();
      client = await provider.connect(local.account(1));
      await new Promise((resolve) => setTimeout(resolve, 3000));
      expect(await pendingNonce()).to.equal(2);
      expect((await status(id)).provenEpochs).to.equal(0);
      await local.mine(1);
      await until("the status tells of it", async () => (await status(id)).provenEpochs === 1);
      expect((await readAgreement(local.chain, id))?.epochsProven).to.equal(1);
      expect(await pendingNonce()).to.equal(2);
    } finally {
      await local.chain.provider.send("evm_setAutomine", [true]);
    }
  });

  it("are not forgotten when acceptance is asked for again while its transaction waits in the pool", async () => {
    const data = await prepared();
    const terms = await termsOf(data, { startBlock: BigInt((await head()) + 15), epochs: 1 });
    const id = await propose(terms);
    await local.chain.provider.send("evm_setAutomine", [false]);
    try {
      const dying = accept(id, data).catch(() => undefined);
      await until(
        "the acceptance is in the pool",
        async () => (await local.chain.provider.getTransactionCount(provider.operator, "pending")) === 1,
      );
      await provider.end("SIGKILL");
      await dying;
      await provider.start();
      client = await provider.connect(local.account(1));
      expect((await accept(id, data)).json.error.code).to.equal("CHAIN_REVERTED");
      await local.mine(1);
    } finally {
      await local.chain.provider.send("evm_setAutomine", [true]);
    }
    await until("taken up", async () => (await status(id)).state === "active");
    await openEpoch(terms, 0);
    await proven(id, 1);
  });

  it("are accepted for their user while strangers ask for the same", async () => {
    const data = await prepared();
    const stranger = await provider.connect(local.account(2));
    const chunk = randomChunk(1000);
    await stranger.upload(chunk);
    const theirs = new AuditedData(randomBytes(32), [chunk]);
    await stranger.request("PUT", `/v1/preparations/${theirs.saltHex}`, { bytes: theirs.body });
    const id = await propose(await termsOf(data, { startBlock: BigInt((await head()) + 30) }));
    const body = { agreementId: String(id), salt: theirs.saltHex };
    const strangers = Array.from({ length: 20 }, () => stranger.request("POST", "/v1/agreements", { body }));
    const own = await accept(id, data);
    expect(own.status, JSON.stringify(own.json)).to.equal(200);
    for (const { json } of await Promise.all(strangers)) expect(json.error.code).to.equal("NOT_OWNER");
  });

  it("are proven again when a reorganisation takes the proof back within its window", async () => {
    const data = await prepared();
    const { id, terms } = await agreed(data, { epochs: 1 });
    await local.chain.provider.send("evm_setAutomine", [false]);
    try {
      await openEpoch(terms, 0);
      const before = await local.chain.provider.send("evm_snapshot", []);
      await until("the proof is in the pool", async () => {
        return (await local.chain.provider.getTransactionCount(provider.operator, "pending")) === 2;
      });
      await local.mine(1);
      await until("the status tells of it", async () => (await status(id)).provenEpochs === 1);
      await local.chain.provider.send("evm_revert", [before]);
    } finally {
      await local.chain.provider.send("evm_setAutomine", [true]);
    }
    expect((await readAgreement(local.chain, id))?.epochsProven).to.equal(0);
    await proven(id, 1);
  });

  it("are refused below the offer, in the past, too near, too far, or with another source of randomness", async () => {
    const data = await prepared();
    const good = await termsOf(data);
    const cases: [string, Partial<Terms>][] = [
      ["fee per epoch", { feePerEpoch: good.feePerEpoch - 1n }],
      [
        "compensation per miss",
        { compensationPerMiss: good.compensationPerMiss + 1n, collateral: good.collateral * 2n },
      ],
      ["bounty per miss", { bountyPerMiss: good.bountyPerMiss + 1n, collateral: good.collateral * 2n }],
      ["collateral", { collateral: good.collateral + 1n }],
      ["breach limit", { breachLimit: 1 }],
      ["epoch length in blocks", { epochBlocks: 9 }],
      ["window in blocks", { windowBlocks: 4 }],
      ["epochs", { epochs: 101 }],
      ["sample count", { sampleCount: 21 }],
      ["start block", { startBlock: BigInt((await head()) + 2000) }],
      ["first index", { firstIndex: 2n }],
      ["slice count", { sliceCount: good.sliceCount + 1n }],
      ["audit key hash", { auditKeyHash: good.manifestHash }],
      ["manifest hash", { manifestHash: good.auditKeyHash }],
      ["provider", { provider: user.address }],
      ["randomness source", { randomness: local.deployment.contracts.keyLedger }],
    ];
    for (const [check, over] of cases) {
      const startBlock = BigInt((await head()) + 20);
      const wrong = check === "randomness source" ? await deployRandomness() : undefined;
      const id = await propose({ ...good, startBlock, ...over, ...(wrong === undefined ? {} : { randomness: wrong }) });
      const { json, status: code } = await accept(id, data);
      expect(json.error, check).to.include({ code: "INVALID_INPUT", check });
      expect(code).to.equal(400);
    }
    const near = await propose({ ...good, startBlock: BigInt((await head()) + 3) });
    await local.mine(1);
    expect((await accept(near, data)).json.error).to.include({ code: "INVALID_INPUT", check: "start block" });
    await local.mine(10);
    expect((await accept(near, data)).json.error).to.include({ code: "INVALID_INPUT", check: "start block" });
    expect(await local.chain.provider.getTransactionCount(provider.operator)).to.equal(0);
  });

  /** Another contract that answers as a source of randomness does. */
  async function deployRandomness(): Promise<string> {
    const { BlockRandomness__factory } = await import(
      "../../offchain/chain/types/factories/randomness/BlockRandomness__factory.ts"
    );
    const contract = await new BlockRandomness__factory(local.account(3)).deploy();
    await contract.waitForDeployment();
    return contract.getAddress();
  }

  it("are refused for other people's proposals and preparations, unknown ones, and what was not verified", async () => {
    const data = await prepared();
    const stranger = await provider.connect(local.account(2));
    const id = await propose(await termsOf(data, { startBlock: BigInt((await head()) + 50) }));
    const asStranger = await stranger.request("POST", "/v1/agreements", {
      body: { agreementId: String(id), salt: data.saltHex },
    });
    expect(asStranger.json.error.code).to.equal("NOT_FOUND");
    expect((await accept(999_999n, data)).json.error.code).to.equal("NOT_FOUND");
    const reportersTerms = await termsOf(data, { startBlock: BigInt((await head()) + 50) });
    const receipt = await reporter.send(proposeCall(local.deployment, reportersTerms));
    const reporters = proposedAgreementId(local.deployment, receipt);
    expect((await accept(reporters, data)).json.error.code).to.equal("NOT_OWNER");

    const chunk = randomChunk(1000);
    await client.upload(chunk);
    const unverified = new AuditedData(seed, [chunk]);
    await client.request("PUT", `/v1/preparations/${unverified.saltHex}`, { bytes: unverified.body });
    const early = await propose(await termsOf(unverified, { startBlock: BigInt((await head()) + 50) }));
    expect((await accept(early, unverified)).json.error).to.include({ code: "CONFLICT", check: "verification" });

    await user.send(cancelCall(local.deployment, id));
    expect((await accept(id, data)).json.error).to.include({ code: "CONFLICT", received: "cancelled" });
    expect((await stranger.request("GET", `/v1/agreements/${id}`)).status).to.equal(404);
  });

  it("are not accepted when a chunk of the data set has been lost since it was verified", async () => {
    const data = await prepared();
    await provider.end();
    rmSync(join(provider.dataDir, "store", "packs"), { recursive: true });
    await provider.start();
    client = await provider.connect(local.account(1));
    const id = await propose(await termsOf(data));
    expect((await accept(id, data)).json.error).to.include({ code: "OBJECT_LOST", party: "provider" });
  });

  it("may be in a token: collateral is approved and put down, and fee and collateral come back in it", async () => {
    const token = await deployToken();
    const price = { pricePerGibEpoch: "1000000000000", minimumFeePerEpoch: "1000000" };
    provider.configure({ offer: { ...TEST_OFFER, prices: [{ token, ...price }] } });
    await provider.end();
    await provider.start();
    client = await provider.connect(local.account(1));
    offer = (await provider.request("GET", "/v1/offer")).json as Offer;
    const data = await prepared();
    const over = { ...amountsFromOffer(offer, token, BigInt(data.sliceCount)), token, epochs: 1 };
    await callToken(token, "mint", user.address, 10n ** 12n);
    await user.send(approveCall(local.deployment, token, 10n ** 12n));

    const poor = await propose(await termsOf(data, { ...over, startBlock: BigInt((await head()) + 40) }));
    expect((await accept(poor, data)).json.error.code).to.equal("CHAIN_REVERTED");
    expect((await client.request("GET", `/v1/agreements/${poor}`)).status).to.equal(404);

    await callToken(token, "mint", provider.operator, over.collateral);
    const { id, terms } = await agreed(data, { ...over, startBlock: BigInt((await head()) + 20) });
    expect(await tokenBalance(token, provider.operator)).to.equal(0n);
    await openEpoch(terms, 0);
    await proven(id, 1);
    await passEpoch(terms, 0);
    await until("paid out", async () => {
      return (await tokenBalance(token, provider.operator)) === terms.collateral + terms.feePerEpoch;
    });
    const coins = await propose(
      await termsOf(data, { feePerEpoch: 10n ** 9n, startBlock: BigInt((await head()) + 20) }),
    );
    expect((await accept(coins, data)).json.error).to.include({ code: "INVALID_INPUT", check: "token" });
  });

  async function deployToken(): Promise<string> {
    const file = new URL("../../artifacts/contracts/test/zoo/PlainToken.sol/PlainToken.json", import.meta.url);
    const { abi, bytecode } = JSON.parse(readFileSync(file, "utf8")) as { abi: InterfaceAbi; bytecode: string };
    const contract = await new ContractFactory(abi, bytecode, local.account(3)).deploy();
    await contract.waitForDeployment();
    return contract.getAddress();
  }
  const TOKEN_ABI = ["function mint(address, uint256)", "function balanceOf(address) view returns (uint256)"];
  const callToken = async (token: string, method: string, ...args: unknown[]): Promise<void> => {
    const sent = await new Contract(token, TOKEN_ABI, local.account(3)).getFunction(method)(...args);
    await sent.wait();
  };
  const tokenBalance = (token: string, account: string): Promise<bigint> =>
    new Contract(token, TOKEN_ABI, local.chain.provider).getFunction("balanceOf")(account);

  it("that somebody else has wound up are settled all the same", async () => {
    const data = await prepared();
    const { id, terms } = await agreed(data, { epochs: 1 });
    await openEpoch(terms, 0);
    await proven(id, 1);
    await provider.end();
    await passEpoch(terms, 0);
    await user.send(closeCall(local.deployment, id));
    await provider.start();
    client = await provider.connect(local.account(1));
    await until("ended", async () => (await status(id)).state === "ended");
    await until("paid out", async () => (await balanceOf(local.chain, NATIVE_TOKEN, provider.operator)) === 0n);
  });
});
