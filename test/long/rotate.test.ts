/** `tallystick rotate` with real nodes, a real provider and a real chain: killed at every step, and what is left to the
 * old key. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { AgentAccount } from "../../offchain/agent/account.ts";
import { AgentContext } from "../../offchain/agent/context.ts";
import type { PutReport } from "../../offchain/agent/index.ts";
import { openFileKey } from "../../offchain/agent/keys/file-key.ts";
import { nodePlatform } from "../../offchain/agent/node/platform.ts";
import { SILENT } from "../../offchain/agent/progress.ts";
import { successionCall } from "../../offchain/agent/rotation/name-successor.ts";
import { readReplacement } from "../../offchain/chain/account-directory.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import { identityFromPhrase } from "../../offchain/core/identity/identity.ts";
import { UsageAnswer } from "../../offchain/core/wire/csp.ts";
import { KNOWN_SECONDS } from "../../offchain/daemon/remembered-answers.ts";
import { HttpParty } from "../../offchain/http/client.ts";
import { SessionTokens } from "../../offchain/http/sessions.ts";
import { startTallystick, tallystick } from "../../scripts/demo/command.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { escrowEvents, ledgerEvents, withChain } from "../helpers/on-chain.ts";
import { newPerson, type Person, personFrom, withAgentOf } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";

const FILE_BYTES = 3 * 1024 * 1024;
/**
 * What a run says before each step, and how many milliseconds after it is killed: into the step rather than at its
 * beginning, but not after it. The last two take a few requests each.
 */
const STEPS = [
  ["naming the successor", 150],
  ["making the tags", 150],
  ["listing the snapshots", 10],
  ["giving notice", 10],
] as const;

describe("rotating an identity", function () {
  this.timeout(300_000);
  let net: LocalNet;
  let person: Person;
  let folder: string;
  let put: PutReport;
  let revocable: PutReport;
  let shared: PutReport;
  let newPhrase: string;
  let successor: Person;
  let report: Record<string, unknown>;
  /** Sessions that the old key has when it is replaced. */
  let oldSessions: SessionTokens;
  let namedAt = 0;

  const restored = async (someone: Person, dataId: string, name: string): Promise<string> => {
    const target = join(net.dir, name);
    await withAgentOf(net, someone, (agent) => agent.get(dataId, target));
    return target;
  };
  const contextOf = (someone: Person, home: string) =>
    new AgentContext({
      identity: identityFromPhrase(someone.recoveryPhrase),
      deployment: net.deployment,
      platform: nodePlatform(home),
      logger: SILENT,
      confirmations: 1,
    });
  const usage = async (sessions: SessionTokens) => {
    const provider = new HttpParty("provider", net.provider.url);
    return await sessions.with(
      provider,
      net.provider.account,
      async (token) => await provider.json("GET", "/v1/usage", UsageAnswer, { token }),
    );
  };

  before(async () => {
    net = await startLocalNet({ ...SMALL_COMMITTEE, epochBlocks: 1000, windowBlocks: 100, sampleCount: 30 });
    person = await newPerson(net, "person");
    folder = join(net.dir, "folder");
    mkdirSync(folder);
    writeFileSync(join(folder, "large"), pseudoRandomBytes("large", FILE_BYTES));
    writeFileSync(join(folder, "small"), "small");
    await withAgentOf(net, person, async (agent) => {
      put = await agent.put([folder]);
      revocable = await agent.put([{ name: "revocable", bytes: pseudoRandomBytes("revocable", 300_000) }], {
        keyMode: "revocable",
      });
      shared = await agent.put([{ name: "shared", bytes: pseudoRandomBytes("shared", 10_000) }], {
        recipients: "shares",
      });
    });
    oldSessions = new SessionTokens(
      new AgentAccount(identityFromPhrase(person.recoveryPhrase).signingKey),
      net.deployment,
    );
    expect((await usage(oldSessions)).chunks).to.be.greaterThan(3);
  });
  after(async () => await net?.stop());

  it("shows the new phrase and the cost, and sends nothing", async () => {
    const early = await tallystick(person, ["rotate", "--yes"]);
    expect(early.document.error).to.include({ code: "INVALID_INPUT", check: "rotation in the home folder" });
    const shown = await tallystick(person, ["rotate"]);
    expect(shown.exitCode, shown.stderr).to.equal(0);
    expect(shown.document).to.include({ sent: false });
    newPhrase = String(shown.document.recoveryPhrase);
    const plan = shown.document.plan as Record<string, unknown>;
    expect(plan).to.include({ account: person.account, isNamed: false });
    expect(plan.successor).to.equal(identityFromPhrase(newPhrase).account);
    const [set] = plan.dataSets as Record<string, unknown>[];
    expect(set).to.include({ id: put.dataSets[0]?.id, provider: net.provider.account });
    expect(Number(set?.bytes)).to.be.greaterThan(FILE_BYTES);
    expect(BigInt(String(plan.gasFee)) > 0n).to.equal(true);
    expect(await withChain(net, async (chain) => await readReplacement(chain, person.account))).to.equal(undefined);
    const again = await tallystick(person, ["rotate"]);
    expect(again.document.recoveryPhrase).to.equal(newPhrase);
  });

  it("is carried out by runs that are killed at every step, and pays nothing twice", async () => {
    const records = (await ledgerEvents(net)).length;
    for (const [step, milliseconds] of STEPS) {
      const started = startTallystick(person, ["--json", "rotate", "--yes"]);
      const seen = new Promise<void>((done) => {
        started.process.stderr?.on("data", (piece: Buffer) => {
          if (!piece.toString().includes(step)) return;
          setTimeout(() => {
            started.process.kill("SIGKILL");
            done();
          }, milliseconds);
        });
      });
      await Promise.race([seen, started.ended]);
      expect((await started.ended).exitCode, step).to.equal(1);
      const replacement = await withChain(net, async (chain) => await readReplacement(chain, person.account));
      if (replacement !== undefined) namedAt ||= replacement.at;
    }
    const done = await tallystick(person, ["rotate", "--yes"]);
    expect(done.exitCode, done.stderr).to.equal(0);
    report = done.document;
    expect(report.damaged).to.deep.equal([]);
    const { account } = identityFromPhrase(newPhrase);
    expect(report).to.include({ account: person.account, successor: account });
    // Key records follow without a transaction.
    expect((await ledgerEvents(net)).length).to.equal(records);
    const events = await escrowEvents(net);
    const openedBy = (user: string) =>
      events.flatMap((event) => (event.kind === "DataSetOpened" && event.terms.user === user ? [event] : []));
    const [old, fresh] = [openedBy(person.account), openedBy(account)];
    expect([old.length, fresh.length]).to.deep.equal([1, 1]);
    expect(fresh[0]?.audit.keyHash).to.not.equal(old[0]?.audit.keyHash);
    expect(fresh[0]?.terms.provider).to.equal(net.provider.account);
    const notices = events.filter((event) => event.kind === "NoticeGiven");
    expect(notices.map((event) => "id" in event && event.id)).to.deep.equal([old[0]?.id]);
    await withChain(net, async ({ provider }) => {
      expect((await provider.getBalance(person.account)) < 10n ** 17n, "coins of the old account").to.equal(true);
      expect((await provider.getBalance(account)) > 90n * 10n ** 18n, "coins of the new account").to.equal(true);
    });
  });

  it("leaves a home folder that is the successor's, with the old files aside", async () => {
    expect(existsSync(join(person.home, "rotation"))).to.equal(false);
    const old = String(report.oldFiles);
    expect(readdirSync(old)).to.include.members(["keystore.json", "agent.db"]);
    const phrase = await tallystick(person, ["phrase"]);
    expect(phrase.document).to.include({ recoveryPhrase: newPhrase });
    const listed = await tallystick(person, ["ls"]);
    expect(JSON.stringify(listed.document)).to.include(put.dataId);
    successor = { ...person, account: identityFromPhrase(newPhrase).account, recoveryPhrase: newPhrase };
    const before = (await ledgerEvents(net)).length;
    await withAgentOf(net, successor, async (agent) => {
      const [set] = await agent.dataSets.list();
      expect(set).to.include({ status: "running", device: "this" });
      expect(await agent.dataSets.audit(set?.id ?? "")).to.include({ provider: net.provider.account });
      const again = await agent.put([folder]);
      expect(again.dataId).to.equal(put.dataId);
      expect(again.uploadedBytes).to.be.lessThan(10_000);
    });
    expect((await ledgerEvents(net)).length).to.equal(before);
  });

  it("moves what comes to the old account later, and nothing when there is nothing", async () => {
    await net.fund([person.account], 10n ** 18n);
    const collected = await tallystick(successor, ["rotate", "--collect"]);
    expect(collected.exitCode, collected.stderr).to.equal(0);
    const [paid] = collected.document.paidOut as Record<string, unknown>[];
    expect(paid).to.include({ account: person.account, from: "account" });
    expect(BigInt(String(paid?.amount)) > 9n * 10n ** 17n).to.equal(true);
    expect((await tallystick(successor, ["rotate", "--collect"])).document.paidOut).to.deep.equal([]);
  });

  it("gives everything to the new phrase alone, on a new device", async () => {
    const device = await personFrom(net, "device", newPhrase);
    await withAgentOf(net, device, async (agent) => {
      const { recovered, failed } = await agent.recover();
      expect(failed).to.deep.equal([]);
      expect(recovered.map(({ dataId }) => dataId)).to.have.members([put.dataId, revocable.dataId, shared.dataId]);
      const { snapshots, failures } = await agent.snapshots.list();
      expect(failures).to.deep.equal([]);
      expect(snapshots.map(({ dataId }) => dataId)).to.include.members([put.dataId, revocable.dataId]);
      const target = join(net.dir, "from-snapshot");
      const got = await agent.get(put.dataId, target);
      expect(got.snapshotId, "metadata that the old account has sealed").to.be.a("string");
      expect(readFileSync(join(target, "folder", "large")).equals(pseudoRandomBytes("large", FILE_BYTES))).to.equal(
        true,
      );
    });
    const target = await restored(device, revocable.dataId, "from-revocable");
    expect(readFileSync(join(target, "revocable")).equals(pseudoRandomBytes("revocable", 300_000))).to.equal(true);
    // Another device of the successor gets the key from the nodes too, in the predecessor's right.
    const context = contextOf(device, join(net.dir, "fresh"));
    try {
      for (const { dataId } of [put, shared]) {
        expect(await openFileKey(context, dataId, "committee"), dataId).to.include({ source: "committee" });
      }
    } finally {
      await context.close();
    }
  });

  it("leaves the old key no session and no release", async () => {
    const key = new AgentAccount(identityFromPhrase(person.recoveryPhrase).signingKey);
    const stolen = new SessionTokens(key, net.deployment);
    const parties: [HttpParty, string][] = [
      [new HttpParty("provider", net.provider.url), net.provider.account],
      ...net.nodes.map(({ url, account }): [HttpParty, string] => [new HttpParty("node", url), account]),
    ];
    for (const [party, audience] of parties) {
      const refused = await expectAsyncRejection(
        () => stolen.with(party, audience, async () => undefined),
        "ACCOUNT_REPLACED",
      );
      expect(refused, party.name).to.include({ check: "successor in the directory of accounts" });
      expect(refused.party, "who refused").to.equal(party.name);
      expect(refused.details, party.name).to.include({ account: person.account, successor: successor.account });
    }
    mkdirSync(join(net.dir, "thief"));
    const thief = contextOf(person, join(net.dir, "thief"));
    try {
      for (const [{ dataId }, answer] of [
        [put, "ACCOUNT_REPLACED"],
        // Shares are asked for without a session: the request is signed.
        [shared, "NOT_OWNER"],
      ] as const) {
        const failure = await openFileKey(thief, dataId, "committee").then(
          () => undefined,
          (error: unknown) => error,
        );
        if (!(failure instanceof TallystickError)) throw new Error("the key was released to the old account");
        expect(JSON.stringify(failure.details)).to.include(answer);
      }
      // What the thief of the phrase keeps: old self envelopes, which are on the chain.
      expect(await openFileKey(thief, put.dataId, "self")).to.include({ source: "self" });
      await expectAsyncRejection(
        () => [...thief.providers()][0]?.fetch(put.dataId) ?? Promise.resolve(),
        "ACCOUNT_REPLACED",
      );
    } finally {
      await thief.close();
    }
    const seconds = Date.now() / 1000 - namedAt;
    if (seconds < KNOWN_SECONDS) await new Promise((done) => setTimeout(done, (KNOWN_SECONDS - seconds) * 1000));
    await expectAsyncRejection(() => usage(oldSessions), "ACCOUNT_REPLACED");
    const command = await tallystick(await personFrom(net, "old-device", person.recoveryPhrase), [
      "get",
      put.dataId,
      "-o",
      join(net.dir, "stolen"),
    ]);
    expect(command.exitCode).to.not.equal(0);
    expect(command.document.error).to.include({ code: "ACCOUNT_REPLACED" });
  });

  it("refuses, naming the other successor, when a thief of the phrase was first", async () => {
    const robbed = await newPerson(net, "robbed");
    expect((await tallystick(robbed, ["rotate"])).document).to.include({ sent: false });
    const thief = await newPerson(net, "robber");
    const [old, next] = [contextOf(robbed, robbed.home), contextOf(thief, thief.home)];
    try {
      await old.send(await successionCall(old, next));
    } finally {
      await next.close();
      await old.close();
    }
    const refused = await tallystick(robbed, ["rotate", "--yes"]);
    expect(refused.exitCode).to.not.equal(0);
    const error = refused.document.error as Record<string, unknown>;
    expect(error).to.include({ code: "CONFLICT", party: `account ${robbed.account}` });
    expect(error.received).to.include(thief.account);
    // The thief has this account's line, and no other one.
    const stolen = new SessionTokens(
      new AgentAccount(identityFromPhrase(thief.recoveryPhrase).signingKey),
      net.deployment,
    );
    const provider = new HttpParty("provider", net.provider.url);
    const head = async (of: string) =>
      await stolen.with(provider, net.provider.account, async (token) =>
        provider.bytes(`/v1/head?of=${of}`, 1_000_000, { token }),
      );
    await expectAsyncRejection(() => head(robbed.account), "NOT_FOUND");
    const another = await expectAsyncRejection(() => head(person.account), "NOT_OWNER");
    expect(another).to.include({ check: "successor in the directory of accounts" });
  });
});
