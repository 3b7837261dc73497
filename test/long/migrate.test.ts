/** `tallystick data-set migrate` between two real providers: whole, killed at any point, and with damage. */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { DataSetReport, PutReport } from "../../offchain/agent/index.ts";
import { agentDatabasePath } from "../../offchain/agent/node/agent-database.ts";
import { SqliteDataSetJournal } from "../../offchain/agent/node/data-set-journal.ts";
import { startTallystick, tallystick } from "../../scripts/demo/command.ts";
import { DROP, type ProxiedRequest } from "../helpers/http-proxy.ts";
import { escrowEvents } from "../helpers/on-chain.ts";
import { rotObject } from "../helpers/pack-files.ts";
import { newPerson, type Person, personFrom, withAgentOf } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { startTwoProviderNet, type TwoProviderNet } from "../helpers/two-providers.ts";

const FILE_BYTES = 6 * 1024 * 1024;

describe("moving a data set to another provider", function () {
  this.timeout(300_000);
  let net: TwoProviderNet;
  let people = 0;

  before(async () => {
    net = await startTwoProviderNet();
  });
  after(async () => await net?.stop());
  afterEach(() => {
    net.toSecond.intercept = () => undefined;
    net.toChain.intercept = () => undefined;
  });

  /** Somebody with a folder in a data set at the first provider. */
  async function someone(): Promise<{ person: Person; folder: string; put: PutReport; id: string }> {
    people += 1;
    const person = await newPerson(net, `person-${people}`);
    const folder = join(net.dir, `folder-${people}`);
    mkdirSync(folder);
    writeFileSync(join(folder, "large"), pseudoRandomBytes(`large ${people}`, FILE_BYTES));
    writeFileSync(join(folder, "small"), `small ${people}`);
    const put = await withAgentOf(net, person, (agent) => agent.put([folder]));
    return { person, folder, put, id: setOf(put).id };
  }

  const migrate = async (person: Person, id: string, ...rest: string[]) =>
    await tallystick(person, ["data-set", "migrate", id, "--to", net.toSecond.url, ...rest]);

  /** What the account has done on chain. */
  async function paid(person: Person): Promise<{ opened: string[]; deposits: number; notices: number }> {
    const events = await escrowEvents(net);
    const opened = events.flatMap((event) =>
      event.kind === "DataSetOpened" && event.terms.user === person.account ? [event.id] : [],
    );
    const deposits = events.filter((event) => event.kind === "Deposited" && event.user === person.account).length;
    const notices = events.filter((event) => event.kind === "NoticeGiven" && opened.includes(event.id)).length;
    return { opened, deposits, notices };
  }

  /** Restores on a new device, with the first provider stopped. */
  async function expectAloneAtSecond(person: Person, dataId: string, folder: string): Promise<void> {
    await net.provider.process.stop();
    try {
      people += 1;
      const device = await personFrom(net, `device-${people}`, person.recoveryPhrase);
      await withAgentOf(net, device, async (agent) => {
        const { recovered } = await agent.recover();
        expect(recovered.map((put) => put.dataId)).to.include(dataId);
        const { snapshots } = await agent.snapshots.list();
        expect(snapshots.map((snapshot) => snapshot.dataId)).to.include(dataId);
        const target = join(net.dir, `restored-${people}`);
        await agent.get(snapshots[0]?.dataId ?? "", target);
        expectSame(folder, join(target, folder.split("/").at(-1) ?? ""));
      });
    } finally {
      await net.provider.process.start();
    }
  }

  it("shows what it will cost, moves all of it, gives notice, and leaves nothing to do for another run", async () => {
    const { person, folder, put, id } = await someone();
    const before = await paid(person);
    const dry = await migrate(person, id, "--dry-run");
    expect(dry.exitCode, dry.stderr).to.equal(0);
    const plan = dry.document.plan as Record<string, unknown>;
    expect(plan).to.include({ id, to: net.second.operator, from: net.provider.account, snapshots: 1 });
    expect(plan.absentBytes).to.equal(plan.bytes);
    expect(Number(plan.bytes)).to.be.greaterThan(FILE_BYTES);
    expect(String(plan.feeNow)).to.equal(String(setOf(put).feePerEpoch));
    expect(BigInt(String(plan.gasFee)) > 0n).to.equal(true);
    expect(await paid(person)).to.deep.equal(before);
    expect(await net.second.metric("tallystick_csp_chunks")).to.equal(0);
    const dear = await migrate(person, id, "--max-fee", "5");
    expect(dear.document.error).to.include({ code: "INVALID_INPUT", check: "fee per epoch" });
    const moved = await migrate(person, id);
    expect(moved.exitCode, moved.stderr).to.equal(0);
    const dataSet = moved.document.dataSet as unknown as DataSetReport & { id: string };
    expect(BigInt(dataSet.feePerEpoch) <= BigInt(String(plan.fee))).to.equal(true);
    expect(moved.document).to.include({ listedSnapshots: 1 });
    expect(moved.document.damaged).to.deep.equal([]);
    expect(await paid(person)).to.include({ notices: 1 });
    await withAgentOf(net, person, async (agent) => {
      const [old, fresh] = await agent.dataSets.list();
      expect(old).to.include({ id, status: "ending" });
      expect(old?.movedTo).to.include({ id: dataSet.id, provider: net.second.operator });
      expect(fresh).to.include({ id: dataSet.id, status: "running", device: "this", predecessor: id });
      expect(fresh?.audit.keyHash).to.not.equal(old?.audit.keyHash);
      expect(await agent.dataSets.audit(dataSet.id)).to.include({ provider: net.second.operator });
      expect(await agent.dataSets.audit(id)).to.include({ provider: net.provider.account });
    });
    const now = await paid(person);
    const again = await migrate(person, id);
    expect(again.exitCode, again.stderr).to.equal(0);
    expect(again.document.copied).to.include({ uploadedObjects: 0 });
    expect(again.document).to.include({ listedSnapshots: 0, lastEpoch: moved.document.lastEpoch });
    expect(await paid(person)).to.deep.equal(now);
    await expectAloneAtSecond(person, put.dataId, folder);
    // Puts of this device follow.
    writeFileSync(join(folder, "later"), pseudoRandomBytes(`later ${people}`, 50_000));
    const later = await withAgentOf(net, person, (agent) => agent.put([folder]));
    expect(setOf(later)).to.include({ id: dataSet.id, provider: net.second.operator });
    const device = await personFrom(net, `knowing-${people}`, person.recoveryPhrase);
    await withAgentOf(net, device, async (agent) => {
      await agent.recover();
      expect((await agent.dataSets.list())[0]?.movedTo).to.include({ id: dataSet.id });
      expect(setOf(await agent.put([folder])).provider).to.equal(net.second.operator);
    });
  });

  const warnings = async (person: Person): Promise<string[]> =>
    (await tallystick(person, ["status"])).document.warnings as string[];

  it("refuses in a dry run what it would refuse, and takes the mode that is named", async () => {
    const { person, id } = await someone();
    const before = await paid(person);
    for (const rest of [["--dry-run"], []]) {
      const refused = await migrate(person, id, "--mode", "on-demand", ...rest);
      expect(refused.exitCode).to.not.equal(0);
      expect(refused.document.error).to.include({ code: "INVALID_INPUT", check: "mode", received: "on-demand" });
    }
    expect(await paid(person)).to.deep.equal(before);
    const wishes = [
      "--mode",
      "every-epoch",
      "--max-bond",
      "1",
      "--expected-size",
      "200GiB",
      "--allow-block-randomness",
    ];
    const dry = await migrate(person, id, ...wishes, "--dry-run");
    expect(dry.exitCode, dry.stderr).to.equal(0);
    expect(dry.document.plan).to.include({ mode: "every-epoch", sliceBytes: 31 * 32_768 });
    expect((await migrate(person, id, "--dry-run")).document.plan).to.include({ sliceBytes: 31 * 8192 });
  });

  it("is warned about while the notice is missing, and can be undone then", async () => {
    const { person, folder, id } = await someone();
    const dear = await migrate(person, id, "--max-gas-fee", "1");
    expect(dear.document.error).to.include({ code: "FUNDS", check: "fee of the transaction" });
    const [fresh] = (await paid(person)).opened.filter((one) => one !== id);
    const [warning, ...others] = await warnings(person);
    expect(others).to.deep.equal([]);
    expect(warning).to.contain(`data-set migrate ${id.slice(0, 10)} --to ${net.second.operator}`);
    const back = await tallystick(person, ["data-set", "migrate", fresh ?? "", "--to", net.provider.url]);
    expect(back.exitCode, back.stderr).to.equal(0);
    expect(back.document.dataSet).to.include({ id, isNew: false });
    const [ending, ...more] = await warnings(person);
    expect(more).to.deep.equal([]);
    expect(ending).to.contain(`data set ${fresh?.slice(0, 10)} ends after epoch`);
    await withAgentOf(net, person, async (agent) => {
      await agent.recover();
      expect((await agent.dataSets.list())[0])
        .to.include({ id, status: "running" })
        .and.not.have.property("movedTo");
      expect(setOf(await agent.put([folder]))).to.include({ id, addedSlices: 0 });
    });
  });

  it("refuses the provider that has it, and one that the deployment does not list", async () => {
    const { person, id } = await someone();
    const same = await tallystick(person, ["data-set", "migrate", id, "--to", net.provider.account]);
    expect(same.document.error).to.include({ code: "INVALID_INPUT", check: "provider to move to" });
    const unknown = await tallystick(person, ["data-set", "migrate", id, "--to", "https://storage.example.org"]);
    expect(unknown.document.error).to.include({ code: "NOT_FOUND", check: "provider account" });
  });

  /** Kills the command with SIGKILL at one request, before or after it was carried out, and runs it again. */
  async function killedAt(
    person: Person,
    id: string,
    strikes: (request: ProxiedRequest) => boolean,
    when: "before" | "after",
  ): Promise<void> {
    const running = startTallystick(person, ["--json", "data-set", "migrate", id, "--to", net.toSecond.url]);
    let struck = false;
    for (const proxy of [net.toSecond, net.toChain]) {
      const strike = async (request: ProxiedRequest) => {
        if (struck || !strikes(request)) return undefined;
        struck = true;
        running.process.kill("SIGKILL");
        await running.ended;
        return DROP;
      };
      if (when === "before") proxy.intercept = strike as typeof proxy.intercept;
      else proxy.alter = strike as typeof proxy.alter;
    }
    try {
      await running.ended;
      expect(struck, "the moment came").to.equal(true);
    } finally {
      for (const proxy of [net.toSecond, net.toChain]) {
        proxy.intercept = () => undefined;
        proxy.alter = () => undefined;
      }
    }
  }

  const nth = (count: number, matches: (request: ProxiedRequest) => boolean) => {
    let seen = 0;
    return (request: ProxiedRequest) => matches(request) && ++seen === count;
  };
  const at = (method: string, path: RegExp) => (request: ProxiedRequest) =>
    request.method === method && path.test(request.path);
  const sending = (request: ProxiedRequest) =>
    new TextDecoder().decode(request.body).includes('"eth_sendRawTransaction"');
  for (const { what, strikes, when } of [
    { what: "while objects are copied", strikes: nth(2, at("POST", /^\/v1\/chunks$/)), when: "after" },
    { what: "while tags are delivered", strikes: at("PUT", /\/tags/), when: "after" },
    { what: "after the deposit was sent", strikes: nth(1, sending), when: "after" },
    { what: "before the new set is opened", strikes: at("POST", /\/open$/), when: "before" },
    { what: "after the new set was opened", strikes: at("POST", /\/open$/), when: "after" },
    { what: "after the snapshots were listed", strikes: at("PUT", /^\/v1\/head/), when: "after" },
    { what: "before the notice is sent", strikes: nth(2, sending), when: "before" },
    { what: "after the notice was sent", strikes: nth(2, sending), when: "after" },
  ] as const) {
    it(`goes on where it was killed ${what}, and pays nothing twice`, async () => {
      const { person, folder, put, id } = await someone();
      await killedAt(person, id, strikes, when);
      const done = await migrate(person, id);
      expect(done.exitCode, done.stderr).to.equal(0);
      const { opened, deposits, notices } = await paid(person);
      expect([opened.length, deposits, notices]).to.deep.equal([2, 2, 1]);
      const { id: fresh } = done.document.dataSet as { id: string };
      expect(opened).to.deep.equal([id, fresh]);
      await withAgentOf(net, person, async (agent) => {
        expect((await agent.dataSets.list())[1]).to.include({ id: fresh, predecessor: id, status: "running" });
        expect(await agent.dataSets.audit(fresh)).to.include({ mode: "private" });
        // All of it is in the set: a put finds nothing to add.
        expect(setOf(await agent.put([folder]))).to.include({ id: fresh, addedSlices: 0 });
        const [copy] = await agent.snapshots.verify(put.dataId, { provider: net.second.operator });
        expect(copy?.damaged).to.deep.equal([]);
      });
    });
  }

  it("moves what is left when the old provider has lost an object, says so, and repairs it later", async () => {
    const { person, folder, id } = await someone();
    const lost = await largestObject(person);
    rotObject(join(net.provider.dir, "data", "store"), lost, 1000);
    const moved = await migrate(person, id);
    expect(moved.exitCode, moved.stderr).to.equal(10);
    const damaged = moved.document.damaged as { id: string }[];
    expect(damaged.map((one) => one.id)).to.deep.equal([lost]);
    expect(await paid(person)).to.include({ notices: 1 });
    await withAgentOf(net, person, async (agent) => {
      const { id: fresh } = moved.document.dataSet as { id: string };
      expect(await agent.dataSets.audit(fresh)).to.include({ mode: "private" });
      expect((await agent.snapshots.list()).snapshots[0]?.providers).to.include(net.second.operator);
      const repaired = await agent.put([folder], { forceRescan: true });
      expect(setOf(repaired)).to.include({ id: fresh });
      expect(setOf(repaired).addedSlices).to.be.greaterThan(0);
    });
    const again = await migrate(person, id);
    expect(again.exitCode, again.stderr).to.equal(0);
  });

  it("leaves the old set alone while the new provider refuses, and goes on when it does not any more", async () => {
    const { person, put, id } = await someone();
    await net.second.end();
    const port = Number(new URL(net.second.url).port);
    const listen = { host: "127.0.0.1", port };
    net.second.configure({ listen, quotas: { storedBytes: 5_500_000 } });
    await net.second.start();
    const refused = await migrate(person, id);
    expect(refused.exitCode).to.not.equal(0);
    expect(refused.document.error).to.include({ party: `provider ${net.toSecond.url}` });
    expect(await paid(person)).to.include({ notices: 0 });
    await withAgentOf(net, person, async (agent) => {
      expect((await agent.dataSets.list())[0]).to.include({ id, status: "running" });
      expect(setOf(await agent.put([join(net.dir, `folder-${people}`)])).id).to.equal(id);
    });
    await net.second.end();
    net.second.configure({ listen });
    await net.second.start();
    const moved = await migrate(person, id);
    expect(moved.exitCode, moved.stderr).to.equal(0);
    expect(Number((moved.document.copied as { uploadedBytes: number }).uploadedBytes)).to.be.lessThan(put.storedBytes);
    expect(await paid(person)).to.include({ notices: 1 });
  });

  it("moves the set of a lost device from a recovered one", async () => {
    const { person, folder, put, id } = await someone();
    const device = await personFrom(net, `recovered-${people}`, person.recoveryPhrase);
    await withAgentOf(net, device, (agent) => agent.recover());
    const moved = await migrate(device, id);
    expect(moved.exitCode, moved.stderr).to.equal(0);
    const { id: fresh } = moved.document.dataSet as { id: string };
    await withAgentOf(net, device, async (agent) => {
      expect((await agent.dataSets.list()).map((set) => [set.id, set.status, set.device])).to.deep.equal([
        [id, "ending", "other"],
        [fresh, "running", "this"],
      ]);
    });
    await expectAloneAtSecond(person, put.dataId, folder);
    const again = await withAgentOf(net, device, (agent) => agent.put([folder]));
    expect(setOf(again)).to.include({ id: fresh, addedSlices: 0 });
  });

  it("moves in rounds, and once more what a put adds meanwhile", async () => {
    const { person, folder, id } = await someone();
    let isPut = false;
    net.toSecond.alter = async ({ method, path }) => {
      if (isPut || method !== "PUT" || !path.startsWith("/v1/head")) return undefined;
      isPut = true;
      writeFileSync(join(folder, "meanwhile"), pseudoRandomBytes(`meanwhile ${people}`, 200_000));
      const during = await withAgentOf(net, person, (agent) => agent.put([folder]));
      expect(setOf(during)).to.include({ id, provider: net.provider.account });
      return undefined;
    };
    await withAgentOf(net, person, async (agent) => {
      const report = await agent.dataSets.migrate(id, { to: net.second.operator, roundBytes: 2 * 1024 * 1024 });
      expect(isPut).to.equal(true);
      expect(report.listedSnapshots).to.equal(2);
      const { id: fresh } = report.dataSet;
      const found = (await agent.dataSets.list()).find((set) => set.id === fresh);
      // Two rounds and the rest, then the other pass.
      expect(found?.version).to.equal(3n);
      expect(await agent.dataSets.audit(fresh)).to.include({ slices: found?.slices });
      expect(setOf(await agent.put([folder]))).to.include({ id: fresh, addedSlices: 0 });
      const [copy] = await agent.snapshots.verify("latest", { provider: net.second.operator });
      expect(copy?.damaged).to.deep.equal([]);
    });
    expect(await paid(person)).to.include({ notices: 1 });
  });

  it("takes from another provider what the old one has lost, and goes back to the old one", async () => {
    const { person, folder, id } = await someone();
    const providers = [net.second.operator];
    await withAgentOf(net, person, (agent) => agent.put([join(folder, "large")], { providers, dataSet: false }));
    rotObject(join(net.provider.dir, "data", "store"), await largestObject(person), 1000);
    const moved = await migrate(person, id);
    expect(moved.exitCode, moved.stderr).to.equal(0);
    expect(moved.document.damaged).to.deep.equal([]);
    expect((moved.document.copied as { uploadedBytes: number }).uploadedBytes).to.be.lessThan(FILE_BYTES / 10);
    const { id: fresh } = moved.document.dataSet as { id: string };
    const back = await tallystick(person, ["data-set", "migrate", fresh, "--to", net.provider.url]);
    expect(back.exitCode, back.stderr).to.equal(0);
    const { id: last } = back.document.dataSet as { id: string };
    await withAgentOf(net, person, async (agent) => {
      expect(setOf(await agent.put([folder]))).to.include({ id: last, provider: net.provider.account, addedSlices: 0 });
      const [copy] = await agent.snapshots.verify("latest", { provider: net.provider.account });
      expect(copy?.damaged).to.deep.equal([]);
    });
  });

  it("extends the set that this device has at the new provider", async () => {
    const { person, folder, id } = await someone();
    const file = join(net.dir, `extra-${people}`);
    writeFileSync(file, pseudoRandomBytes(`extra ${people}`, 300_000));
    const providers = [net.second.operator];
    const before = setOf(await withAgentOf(net, person, (agent) => agent.put([file], { providers })));
    const moved = await migrate(person, id);
    expect(moved.exitCode, moved.stderr).to.equal(0);
    const dataSet = moved.document.dataSet as unknown as DataSetReport;
    expect(dataSet).to.include({ id: before.id, isNew: false });
    expect(dataSet.slices).to.equal(before.slices + dataSet.addedSlices);
    await withAgentOf(net, person, async (agent) => {
      expect((await agent.dataSets.list())[0]?.movedTo).to.include({ id: before.id });
      expect(setOf(await agent.put([folder]))).to.include({ id: before.id, addedSlices: 0 });
    });
  });
});

/** The largest object of the account's first data set. */
async function largestObject({ home }: Person): Promise<string> {
  const journal = new SqliteDataSetJournal(agentDatabasePath(home));
  try {
    const [segment] = await journal.segments();
    const objects = await journal.objectsIn(segment?.id ?? "", 0, Number.MAX_SAFE_INTEGER);
    const [largest] = objects.toSorted((a, b) => b.sizeBytes - a.sizeBytes);
    if (largest === undefined) throw new Error("no objects");
    return largest.id;
  } finally {
    await journal.close();
  }
}

/** The data set of a put with one provider. */
function setOf({ dataSets }: PutReport): DataSetReport & { readonly id: string } {
  const [set] = dataSets;
  if (set?.id === undefined) throw new Error("the put is in no data set");
  return { ...set, id: set.id };
}

function expectSame(one: string, other: string): void {
  const names = readdirSync(one);
  expect(readdirSync(other)).to.deep.equal(names);
  for (const name of names) {
    const digest = (folder: string) =>
      createHash("sha256")
        .update(readFileSync(join(folder, name)))
        .digest("hex");
    expect(digest(other), name).to.equal(digest(one));
  }
}
