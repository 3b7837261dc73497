/**
 * What a wrong OPRF answer costs a key node, with real nodes, a real chain and the command line: one that signed it
 * loses its stake; one that answered rightly gets the bond of whoever challenges it, also while it is down.
 */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { Wallet } from "ethers";
import { AgentAccount } from "../../offchain/agent/account.ts";
import { NbmClient } from "../../offchain/agent/keys/nbm-client.ts";
import { isSignedByNode } from "../../offchain/agent/keys/wrong-answers.ts";
import { type ChainReader, connectChain } from "../../offchain/chain/deployment.ts";
import {
  challengeNodeCall,
  challengeOutcome,
  isRightOnChain,
  keysOfAnswer,
  readDisputeTerms,
  readOwed,
} from "../../offchain/chain/oprf-disputes.ts";
import { readCommitteeKeys, readNode } from "../../offchain/chain/registry.ts";
import { EXIT } from "../../offchain/cli/exit-codes.ts";
import { fromHex } from "../../offchain/core/encoding/hex.ts";
import { blindInputs, composeEvaluation, oprfReady } from "../../offchain/core/oprf/ristretto255.ts";
import { type AnswerEvidence, encodeAnswerEvidence } from "../../offchain/core/oprf/signed-answer.ts";
import { SessionTokens } from "../../offchain/http/sessions.ts";
import { startTallystick, tallystick } from "../../scripts/demo/command.ts";
import type { DevnetDaemon } from "../../scripts/devnet/start-devnet.ts";
import { assignedPositions } from "../helpers/assigned-nodes.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { LyingNode } from "../helpers/lying-node.ts";
import { newPerson, type Person } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";

const BURN_ADDRESS = `0x${"0".repeat(40)}`;
/** Puts until the lying node is among those whose answers count: two of three are asked at a time. */
const ATTEMPTS = 12;
const COMMITTEE = 1n;

describe("key nodes that sign wrong answers", function () {
  this.timeout(180_000);
  let net: LocalNet;
  let chain: ChainReader;
  let alice: Person;
  let liar: LyingNode;
  let puts = 0;
  /** In the order in which alice asks them. */
  let order: number[] = [];
  const node = (place: number) => net.nodes[order[place] ?? 0] as DevnetDaemon;
  const stakeOf = async ({ account }: { account: string }) => (await readNode(chain, account))?.stakeWei ?? 0n;
  const owedTo = async (account: string) => await readOwed(chain, await readDisputeTerms(chain), account);
  const evidenceFiles = () => {
    try {
      return readdirSync(join(alice.home, "wrong-answers"));
    } catch {
      return [];
    }
  };
  const documentOf = async (...args: string[]): Promise<Record<string, unknown>> => {
    const { exitCode, document, stderr } = await tallystick(alice, args);
    expect(exitCode, stderr).to.equal(0);
    return document;
  };
  const failed = async (exitCode: number, ...args: string[]) => {
    const result = await tallystick(alice, args);
    expect(result.exitCode, result.stderr).to.equal(exitCode);
    return result.document.error as Record<string, unknown>;
  };

  /** Puts new files until the liar has lied. @returns what the command said then */
  async function putUntilLied(): Promise<string> {
    const before = liar.told;
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      puts += 1;
      const file = join(net.dir, `file-${puts}`);
      writeFileSync(file, pseudoRandomBytes(file, 3000));
      const { exitCode, stderr } = await startTallystick(alice, ["put", file, "--no-data-set"]).ended;
      expect(exitCode, stderr).to.equal(0);
      if (liar.told > before) return stderr;
    }
    throw new Error("the lying node was never asked");
  }

  /** A right answer of a node to somebody, with its signature. */
  async function rightAnswer({ url, account: operator }: DevnetDaemon): Promise<AnswerEvidence> {
    await oprfReady();
    const wallet = Wallet.createRandom();
    const account = new AgentAccount(fromHex(wallet.privateKey));
    const client = new NbmClient(url, operator, new SessionTokens(account, net.deployment));
    const { blinded } = blindInputs([pseudoRandomBytes("input", 40), pseudoRandomBytes("other", 40)]);
    const { index, evaluated, proof, signature } = await client.evaluate(
      { committeeId: COMMITTEE, generation: 1 },
      blinded,
    );
    const { keys, keyMaterialHash } = await readCommitteeKeys(chain, COMMITTEE, 1);
    const share = keys.oprf.verificationShares[index - 1] ?? new Uint8Array();
    return {
      chainId: net.deployment.chainId,
      nodeRegistry: net.deployment.contracts.nodeRegistry,
      operator,
      committeeId: COMMITTEE,
      generation: 1,
      keyMaterialHash,
      index,
      account: account.address,
      composites: composeEvaluation(share, blinded, evaluated),
      proof,
      signature,
    };
  }

  before(async () => {
    net = await startLocalNet(SMALL_COMMITTEE);
    chain = await connectChain(net.deployment);
    alice = await newPerson(net, "alice");
    order = await assignedPositions(net, alice.account);
    liar = await LyingNode.inPlaceOf(net, node(0));
    liar.asker = alice.account;
  });
  after(async () => {
    chain?.close();
    await liar?.stop();
    await net?.stop();
  });

  it("keep their stake when somebody between them and the user lies: that is not signed", async () => {
    liar.lie = "wrong evaluations";
    const said = await putUntilLied();
    expect(said).to.contain("did not sign its wrong answer");
    expect(evidenceFiles()).to.deep.equal([]);
    expect(await documentOf("node", "challenge")).to.deep.include({ operators: [] });
    expect(await failed(EXIT.refused, "node", "challenge", node(0).account)).to.include({ code: "NOT_FOUND" });
  });

  it("are found out by a put, which succeeds with the others and keeps the answer as evidence", async () => {
    liar.lie = "signed wrong evaluations";
    const said = await putUntilLied();
    expect(said).to.contain(`tallystick node challenge ${node(0).account}`);
    expect(evidenceFiles()).to.deep.equal([`${node(0).account.toLowerCase()}.json`]);
    expect(await documentOf("node", "challenge")).to.deep.include({ operators: [node(0).account.toLowerCase()] });
  });

  it("lose their stake to who was answered and to nobody, when they are challenged", async () => {
    const stake = await stakeOf(node(0));
    const quote = await documentOf("node", "challenge", node(0).account, "--dry-run");
    expect(quote).to.include({
      operator: node(0).account,
      stakeWei: String(stake),
      rewardWei: String(stake / 5n),
      bondWei: String(stake / 100n),
      account: alice.account,
    });
    expect(await stakeOf(node(0))).to.equal(stake);
    await failed(EXIT.funds, "node", "challenge", node(0).account, "--max-gas-fee", "1000");

    const burnt = await chain.provider.getBalance(BURN_ADDRESS);
    const done = await documentOf("node", "challenge", node(0).account);
    expect(done).to.include({ convicted: true, stakeWei: String(stake), rewardWei: String(stake / 5n) });
    expect(Number(done.gasUsed)).to.be.below(5_000_000);
    expect(await stakeOf(node(0))).to.equal(0n);
    // A development chain gives the fees of its blocks to this address too.
    expect((await chain.provider.getBalance(BURN_ADDRESS)) - burnt).to.be.within(stake - stake / 5n, stake);
    expect(await owedTo(alice.account)).to.equal(stake / 5n + stake / 100n);

    const again = await failed(EXIT.refused, "node", "challenge", node(0).account);
    expect(again).to.include({ code: "CONFLICT", check: "answer not judged" });
    expect(await documentOf("node", "collect")).to.include({ amountWei: String(stake / 5n + stake / 100n) });
    expect(await owedTo(alice.account)).to.equal(0n);
    expect(await documentOf("node", "collect")).to.deep.include({ amountWei: "0" });
  });

  it("are done without: the others still serve puts", async () => {
    liar.lie = "honest";
    const file = join(net.dir, "afterwards");
    writeFileSync(file, pseudoRandomBytes("afterwards", 3000));
    await documentOf("put", file, "--no-data-set");
  });

  it("get the bond of who challenges a right answer, also while they are down", async () => {
    const honest = node(1);
    const evidence = await rightAnswer(honest);
    expect(isSignedByNode(evidence)).to.equal(true);
    expect(
      await isRightOnChain(chain, await readDisputeTerms(chain), evidence, await keysOfAnswer(chain, evidence)),
    ).to.equal(true);
    const file = join(net.dir, "right.json");
    writeFileSync(file, encodeAnswerEvidence(evidence));
    const refused = await failed(EXIT.usage, "node", "challenge", file);
    expect(refused).to.include({ check: "proof of the answer" });

    // Past the command line, which does not send it.
    await honest.process.stop("SIGKILL");
    const stake = await stakeOf(honest);
    const terms = await readDisputeTerms(chain);
    const call = challengeNodeCall(terms, evidence, evidence.signature, await keysOfAnswer(chain, evidence));
    const challenger = Wallet.createRandom().connect(chain.provider);
    await net.fund([challenger.address]);
    const sent = await challenger.sendTransaction({ to: call.to, data: call.data, value: terms.bondWei });
    const receipt = await sent.wait();
    if (receipt === null) throw new Error("not mined");
    expect(challengeOutcome(terms, receipt)).to.include({ convicted: false, operator: honest.account });
    expect(await stakeOf(honest)).to.equal(stake);
    expect(await owedTo(honest.account)).to.equal(terms.bondWei);
    expect(await owedTo(challenger.address)).to.equal(0n);
    await honest.process.start();
  });

  it("are not slashed for being down: without a signed wrong answer there is nothing to send", async () => {
    const dead = node(2);
    const stake = await stakeOf(dead);
    await dead.process.stop("SIGKILL");
    try {
      expect(await failed(EXIT.refused, "node", "challenge", dead.account)).to.include({ code: "NOT_FOUND" });
      const forged = { ...(await rightAnswer(node(1))), operator: dead.account, index: (order[2] ?? 0) + 1 };
      const file = join(net.dir, "forged.json");
      writeFileSync(file, encodeAnswerEvidence(forged));
      expect(await failed(EXIT.usage, "node", "challenge", file)).to.include({ check: "signature of the answer" });
      const terms = await readDisputeTerms(chain);
      const call = challengeNodeCall(terms, forged, forged.signature, await keysOfAnswer(chain, forged));
      const from = alice.account;
      const tried = chain.provider.call({ from, to: call.to, data: call.data, value: terms.bondWei });
      expect(String(await tried.catch((error: unknown) => error))).to.contain("revert");
      expect(await stakeOf(dead)).to.equal(stake);
    } finally {
      await dead.process.start();
    }
  });
});
