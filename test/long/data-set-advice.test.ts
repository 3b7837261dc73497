/** What the command line tells a person whose data sets, funds or provider are not as they should be. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { agentDatabasePath } from "../../offchain/agent/node/agent-database.ts";
import { SqliteDataSetJournal } from "../../offchain/agent/node/data-set-journal.ts";
import { startTallystick, tallystick } from "../../scripts/demo/command.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { newPerson, type Person, personFrom, withAgentOf } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";

type Json = Record<string, unknown>;

describe("advice about data sets", function () {
  this.timeout(300_000);
  let net: LocalNet;
  let alice: Person;
  let first: Json;
  let firstSet: string;

  before(async () => {
    net = await startLocalNet({ ...SMALL_COMMITTEE, epochBlocks: 1000, windowBlocks: 100, sampleCount: 30 });
    alice = await newPerson(net, "alice");
  });
  after(async () => await net?.stop());

  function folder(name: string): string {
    const path = join(net.dir, name);
    mkdirSync(path);
    writeFileSync(join(path, "file"), pseudoRandomBytes(name, 200_000));
    return path;
  }
  async function done(person: Person, ...args: string[]): Promise<{ document: Json; stderr: string }> {
    const { exitCode, document, stderr } = await tallystick(person, args);
    expect(exitCode, stderr).to.equal(0);
    return { document, stderr };
  }
  async function refused(person: Person, code: string, ...args: string[]): Promise<Json & { stderr: string }> {
    const { document, stderr } = await tallystick(person, args);
    expect((document.error as Json | undefined)?.code, stderr).to.equal(code);
    return { ...(document.error as Json), stderr };
  }
  const textOf = async (person: Person, ...args: string[]) => (await startTallystick(person, args).ended).stdout;
  const warnings = async () => (await done(alice, "status")).document.warnings as string[];
  const snapshotOf = ({ snapshot }: Json) => (snapshot as Json).id as string;

  it("tells what a successor would tag again, and that nothing of it is sent", async () => {
    first = (await done(alice, "put", folder("first"))).document;
    firstSet = String((first.dataSets as Json[])[0]?.id);
    const plan = await textOf(alice, "data-set", "compact", firstSet, "--successor", "--dry-run");
    expect(plan).to.match(/into a new data set at the same provider/);
    expect(plan).to.match(/to be read and tagged again: \d+ objects, .*, of which nothing is sent; 1 snapshot/);
  });

  it("says on another device whose data set it is, and what that one can do", async () => {
    const device = await personFrom(net, "device", alice.recoveryPhrase);
    await done(device, "recover");
    const error = await refused(device, "NOT_FOUND", "data-set", "compact", firstSet);
    expect(error.received).to.equal("one of another device");
    expect(error.hint).to.include("data-set compact --successor");
  });

  it("adds ether to the balance, and names account and amounts where there is not so much", async () => {
    const { document } = await done(alice, "data-set", "top-up", "0.25ETH");
    expect(document.amount).to.equal(String(25n * 10n ** 16n));
    const withdrawal = await refused(alice, "FUNDS", "data-set", "withdraw", "--amount", "3 ETH");
    expect(withdrawal.message).to.include(alice.account);
    expect(withdrawal.expected).to.match(/^at most 0\.\d+ ETH$/);
    expect(withdrawal.received).to.equal("3 ETH");
    const deposit = await refused(alice, "FUNDS", "data-set", "top-up", "100000ETH");
    expect(deposit.message).to.include(`account ${alice.account} cannot pay for it`);
    expect(deposit.expected).to.match(/^at least 100000\.\d+ ETH: 100000 ETH that it pays and at most 0\.\d+ ETH for/);
    expect(deposit.received).to.match(/^99\.\d+ ETH$/);
  });

  it("names snapshots that no data set keeps after a notice, and the command that has them kept", async () => {
    await done(alice, "data-set", "notice", firstSet);
    const second = await done(alice, "put", folder("second"));
    const short = snapshotOf(first).slice(0, 8);
    const expected = `snapshot ${short} is in no data set that goes on`;
    expect(second.stderr).to.include(`tallystick: warning: ${expected}`);
    expect(second.document.unkept).to.have.length(1);
    const told = (await warnings()).filter((text) => text.includes("in no data set that goes on"));
    expect(told).to.have.length(1);
    expect(told[0]).to.include(expected).and.to.include(`\`tallystick data-set add ${short}\``);
    const third = await done(alice, "put", folder("third"));
    expect(third.stderr).to.include(expected);
    await done(alice, "data-set", "add", short);
    expect((await warnings()).filter((text) => text.includes("in no data set that goes on"))).to.deep.equal([]);
    const fourth = await done(alice, "put", folder("fourth"));
    expect(fourth.document.unkept).to.deep.equal([]);
    expect(fourth.stderr).to.not.include("warning");
    // Times and modes are kept as well.
    const journal = new SqliteDataSetJournal(agentDatabasePath(alice.home));
    const { metadataId } = first.snapshot as { metadataId: string };
    const running = (await journal.sets()).find(({ state }) => state === "running");
    expect((await journal.holders(running?.salt ?? "", [metadataId])).size).to.equal(1);
    await journal.close();
  });

  it("names the command that lists what there is, for a data set or evidence that is not there", async () => {
    const none = await refused(alice, "NOT_FOUND", "data-set", "show", "0xabcd1234");
    expect(none.hint).to.include("`tallystick data-set ls`");
    const node = await refused(alice, "NOT_FOUND", "node", "challenge", `0x${"11".repeat(20)}`);
    expect(node).to.not.have.property("expected");
    expect(node.hint).to.include("named as a file");
  });

  it("shows what rm would remove, and removes nothing", async () => {
    const listed = async () => ((await done(alice, "snapshots")).document.snapshots as Json[]).map(({ id }) => id);
    const before = await listed();
    const dry = await done(alice, "rm", "latest", "--dry-run");
    expect((dry.document.removed as Json[]).map(({ id }) => id)).to.deep.equal([before.at(-1)]);
    expect(dry.document).to.deep.include({ dryRun: true, released: [] });
    expect(await textOf(alice, "rm", "latest", "-n")).to.match(
      new RegExp(`^would remove ${String(before.at(-1)).slice(0, 8)} `),
    );
    expect(await listed()).to.deep.equal(before);
  });

  it("marks a put that did not succeed, and says what its account lacks", async () => {
    const poor = await newPerson(net, "poor");
    await net.chain.provider.send("anvil_setBalance", [poor.account, "0x1"]);
    const path = folder("unpaid");
    const error = await refused(poor, "FUNDS", "put", path);
    expect(error.message).to.include(poor.account);
    expect(error.received).to.equal("0.000000000000000001 ETH");
    const failed = (await done(poor, "status")).document.puts as Json[];
    expect(failed.map(({ recorded, listed }) => [recorded, listed])).to.deep.equal([[true, false]]);
    expect(await textOf(poor, "status")).to.include("snapshot   NONE: its put did not succeed");
    await net.fund([poor.account], 10n ** 18n);
    await done(poor, "put", path);
    const [put] = (await done(poor, "status")).document.puts as Json[];
    expect(put?.listed).to.equal(true);
    expect(await textOf(poor, "status")).to.not.include("NONE");
  });

  it("says that a silent provider leaves no verdict to be reached, and what decides instead", async () => {
    const id = await withAgentOf(net, alice, async (agent) =>
      String((await agent.dataSets.list()).find(({ status }) => status === "running")?.id),
    );
    await net.provider.process.stop();
    try {
      const error = await refused(alice, "UNREACHABLE", "data-set", "verdict", id);
      expect(error.message).to.match(/^no verdict while the provider does not answer: /);
      expect(error.hint).to.include("(intact, damaged, unproven, bad-tags)").and.to.include("data-set settle");
    } finally {
      await net.provider.process.start();
    }
  });
});
