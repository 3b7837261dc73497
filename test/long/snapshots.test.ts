/** Snapshots on a real network: what a put appends, what the commands show, and what comes back on a new device. */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { Agent, PutReport } from "../../offchain/agent/index.ts";
import { EXIT } from "../../offchain/cli/exit-codes.ts";
import { tallystick } from "../../scripts/demo/command.ts";
import { type ForwardingProxy, startForwardingProxy } from "../helpers/forwarding-proxy.ts";
import { withChain } from "../helpers/on-chain.ts";
import { agentOf, newPerson, type Person, personFrom, withAgentOf } from "../helpers/people.ts";
import { collect } from "../helpers/promises.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { joinSharedNet, type TestNet } from "../helpers/shared-net.ts";

const MIB = 1024 * 1024;

describe("snapshots", () => {
  let net: TestNet;
  let alice: Person;
  let first: PutReport;
  const dir = (...names: string[]) => join(net.dir, ...names);

  before(async () => {
    net = await joinSharedNet();
    alice = await newPerson(net, "alice");
    mkdirSync(dir("files", "letters"), { recursive: true });
    writeFileSync(dir("files", "large"), pseudoRandomBytes("large", 3 * MIB));
    writeFileSync(dir("files", "letters", "one.txt"), "first letter");
    writeFileSync(dir("files", "letters", "two.txt"), "second letter");
  });
  after(() => net?.stop());

  /** The document of a command that succeeds. */
  async function documentOf(person: Person, ...args: string[]): Promise<Record<string, unknown>> {
    const { exitCode, document, stderr } = await tallystick(person, args);
    expect(exitCode, stderr).to.equal(EXIT.ok);
    return document;
  }

  /** Transactions that Alice has sent. */
  const sent = () => withChain(net, ({ provider }) => provider.getTransactionCount(alice.account));

  it("are appended by every put; one of nothing new sends no transaction and stores no object", async () => {
    await withAgentOf(net, alice, async (agent) => {
      first = await agent.put([dir("files")], { tags: ["daily", "home"], host: "laptop" });
      expect(first.snapshot).to.deep.include({ host: "laptop", tags: ["daily", "home"], dataId: first.dataId });
      expect(first.snapshot.paths).to.deep.equal([dir("files")]);
      expect(first.snapshot.totals).to.include({ entries: first.entries, bytes: first.totalBytes });
      const before = await sent();
      const second = await agent.put([dir("files")], { host: "laptop" });
      expect(second.dataId).to.equal(first.dataId);
      expect(second.snapshot.id).to.not.equal(first.snapshot.id);
      expect(second.snapshot.metadataId).to.equal(first.snapshot.metadataId);
      expect([second.uploadedObjects, second.record.isNew, second.dataSets[0]?.addedSlices]).to.deep.equal([
        0,
        false,
        0,
      ]);
      expect(await sent()).to.equal(before);
      const { snapshots, failures } = await agent.snapshots.list();
      expect(snapshots.map(({ id }) => id)).to.deep.equal([first.snapshot.id, second.snapshot.id]);
      expect(snapshots[0]?.providers).to.deep.equal([net.provider.account]);
      expect(failures).to.deep.equal([]);
    });
  });

  it("can be listed, searched, compared, measured and verified by commands", async () => {
    writeFileSync(dir("files", "letters", "one.txt"), "first letter, amended");
    writeFileSync(dir("files", "new.txt"), "new");
    rmSync(dir("files", "letters", "two.txt"));
    const put = await documentOf(alice, "put", dir("files"), "--no-data-set", "--tag", "weekly", "--host", "desk");
    const id = String((put.snapshot as { id: string }).id);
    const { snapshots } = (await documentOf(alice, "snapshots", "--tag", "weekly")) as { snapshots: { id: string }[] };
    expect(snapshots.map((snapshot) => snapshot.id)).to.deep.equal([id]);
    const old = first.snapshot.id.slice(0, 12);
    const { changes } = (await documentOf(alice, "diff", old, id.slice(0, 12))) as {
      changes: Record<string, string>[];
    };
    const changed = changes.map(({ kind, path }) => `${kind} ${path}`);
    expect(changed).to.include.members([
      "changed files/letters/one.txt",
      "removed files/letters/two.txt",
      "added files/new.txt",
    ]);
    expect(changed.filter((line) => !line.startsWith("metadata"))).to.have.length(3);
    const { found } = (await documentOf(alice, "find", "two.*")) as { found: Record<string, unknown>[] };
    expect(found.map(({ path }) => path)).to.deep.equal(Array(2).fill("files/letters/two.txt"));
    const { entries } = (await documentOf(alice, "ls", "latest:desk:files/letters")) as {
      entries: Record<string, unknown>[];
    };
    expect(entries.map(({ path }) => path)).to.deep.equal(["files/letters", "files/letters/one.txt"]);
    expect(entries[1]).to.include({ type: "file", sizeBytes: 21 });
    const { total } = (await documentOf(alice, "stats")) as { total: Record<string, number> };
    expect(total).to.include({ snapshots: 3 });
    expect(total.storedBytes).to.be.within(3 * MIB, 3.2 * MIB);
    expect(await documentOf(alice, "verify", "latest")).to.include({ intact: true });
    await documentOf(alice, "get", "latest:files/letters", "-o", dir("out"));
    expect(readFileSync(dir("out", "letters", "one.txt"), "utf8")).to.equal("first letter, amended");
  });

  it("name their data to status and data-set, also after a put without a data set", async () => {
    const dora = await newPerson(net, "dora");
    mkdirSync(dir("named"));
    writeFileSync(dir("named", "one"), "one");
    const first = await documentOf(dora, "put", dir("named"), "--host", "desk", "--runway", "5");
    const [set] = first.dataSets as { id: string; isNew: boolean; runwayEpochs: number }[];
    // Two epochs of notice, and the runway.
    expect(set).to.include({ isNew: true, runwayEpochs: 7 });
    const again = await documentOf(dora, "put", dir("named"), "--no-data-set", "--host", "desk");
    expect(again).to.deep.include({ dataId: first.dataId, dataSets: [] });
    const id = String((first.snapshot as { id: string }).id).slice(0, 12);
    for (const name of ["latest", "latest:desk", id, String(first.dataId)]) {
      const { puts } = await documentOf(dora, "status", name);
      expect((puts as { dataId: string }[]).map(({ dataId }) => dataId)).to.deep.equal([first.dataId]);
    }
    for (const name of ["latest:desk", id]) {
      const added = await documentOf(dora, "data-set", "add", name);
      expect(added.dataId).to.equal(first.dataId);
      const [unchanged] = added.dataSets as Record<string, unknown>[];
      expect(unchanged).to.deep.include({ id: set?.id, isNew: false, addedSlices: 0, transactions: [] });
    }
    const { audits } = (await documentOf(dora, "audit")) as { audits: Record<string, unknown>[] };
    expect(audits.map((one) => [one.mode, one.id])).to.deep.equal([["private", set?.id]]);
    const short = String(set?.id).slice(0, 10);
    expect(await documentOf(dora, "audit", short)).to.deep.include({ intact: true });
    expect(await documentOf(dora, "data-set", "show", short)).to.include({ id: set?.id, status: "running" });
    const place = await tallystick(dora, ["data-set", "add", "latest:named/one"]);
    expect(place.document.error).to.include({ message: "this command is about all of a put, not a path in it" });
    const wrong = await tallystick(dora, ["status", "newest"]);
    expect([wrong.exitCode, wrong.stderr.includes("latest:<host> or a data id")]).to.deep.equal([EXIT.usage, true]);
    const twice = await tallystick(dora, ["put", dir("named"), dir("named"), "--no-data-set"]);
    expect(twice.document.error).to.include({ message: "named is given twice", hint: "name each path once" });
    const nameless = await tallystick(dora, ["put", dir("named"), "--no-data-set", "--host", ""]);
    expect(nameless.document.error).to.include({ message: "the name of the host is empty" });
    const empty = await tallystick(dora, ["put", dir("named"), "--no-data-set", "--exclude", "*"]);
    expect([empty.exitCode, empty.document.entries], empty.stderr).to.deep.equal([EXIT.ok, 0]);
    expect(empty.stderr).to.contain("warning: what is excluded leaves nothing: look at the patterns");
  });

  it("come back on a new device, with times and tags", async () => {
    const device = await personFrom(net, "new device", alice.recoveryPhrase);
    await withAgentOf(net, device, async (agent) => {
      const { snapshots } = await agent.snapshots.list();
      expect(snapshots.map(({ host, tags }) => [host, tags])).to.deep.equal([
        ["laptop", ["daily", "home"]],
        ["laptop", []],
        ["desk", ["weekly"]],
      ]);
      const [entry] = await collect(agent.snapshots.entries(`${first.snapshot.id}:files/letters/two.txt`));
      expect(entry?.metadata?.mode).to.be.a("number");
      const bytes = await agent.getBytes("latest:laptop:files/letters/two.txt");
      expect(new TextDecoder().decode(bytes)).to.equal("second letter");
    });
  });

  it("are appended by devices at the same time, and none is lost", async () => {
    const other = await personFrom(net, "other device", alice.recoveryPhrase);
    writeFileSync(dir("a"), "a");
    writeFileSync(dir("b"), "b");
    await Promise.all(
      [
        [alice, "a"],
        [other, "b"],
      ].map(([person, name]) =>
        withAgentOf(net, person as Person, (agent) =>
          agent.put([dir(String(name))], { dataSet: false, host: "race", tags: [String(name)] }),
        ),
      ),
    );
    await withAgentOf(net, alice, async (agent) => {
      const { snapshots } = await agent.snapshots.list({ host: "race" });
      expect(snapshots.flatMap(({ tags }) => tags).sort()).to.deep.equal(["a", "b"]);
    });
  });

  it("are forgotten by rules, and only shown with --dry-run", async () => {
    const forget = ["forget", "--host", "laptop", "--keep-last", "1"];
    const dry = await documentOf(alice, ...forget, "--dry-run");
    expect((dry.removed as { id: string }[]).map(({ id }) => id)).to.deep.equal([first.snapshot.id]);
    const { snapshots: before } = (await documentOf(alice, "snapshots")) as { snapshots: object[] };
    expect(before).to.have.length(5);
    await documentOf(alice, ...forget);
    const { snapshots } = (await documentOf(alice, "snapshots")) as { snapshots: { id: string; host: string }[] };
    expect(snapshots.map(({ host }) => host).sort()).to.deep.equal(["desk", "laptop", "race", "race"]);
    const nothing = await tallystick(alice, ["forget", "--keep-last", "0"]);
    expect(nothing.document.error).to.include({ code: "INVALID_INPUT" });
    const gone = await tallystick(alice, ["ls", first.snapshot.id]);
    expect(gone.document.error).to.include({ code: "NOT_FOUND" });
    const [desk] = snapshots.filter(({ host }) => host === "desk");
    await documentOf(alice, "rm", String(desk?.id));
    expect((await documentOf(alice, "snapshots", "--host", "desk")).snapshots).to.deep.equal([]);
  });

  describe("that a device removes while another puts", () => {
    let proxy: ForwardingProxy;
    let laptop: Agent;
    let desktop: Agent;
    /** Objects of a put, those that it takes from the file cache included. */
    let all = 0;
    before(async () => {
      proxy = await startForwardingProxy(net.provider.url);
      const carol = await newPerson(net, "carol");
      const other = await personFrom(net, "carol's desktop", carol.recoveryPhrase);
      laptop = await agentOf(net, carol);
      desktop = await agentOf(net, other, {
        ...net.deployment,
        providers: [{ account: net.provider.account, url: proxy.url }],
      });
      mkdirSync(dir("shared"));
      writeFileSync(dir("shared", "large"), pseudoRandomBytes("released", 3 * MIB));
      writeFileSync(dir("shared", "small"), "small");
    });
    after(async () => {
      await Promise.all([laptop?.close(), desktop?.close()]);
      proxy?.stop();
    });

    const options = { dataSet: false as const };
    /** Has the other device remove everything just before the next head takes its place. */
    function removeAllBeforeNextHead(): { readonly released: readonly number[] } {
      const released: number[] = [];
      let isFirst = true;
      proxy.asked.length = 0;
      proxy.before = async (method) => {
        if (method !== "PUT" || !isFirst) return false;
        isFirst = false;
        const { snapshots } = await laptop.snapshots.list();
        const report = await laptop.snapshots.remove(snapshots.map(({ id }) => id));
        released.push(...report.released.map((outcome) => outcome.released ?? 0));
        return false;
      };
      return { released };
    }
    /** All objects of the newest snapshot are owned, and none of them is released. */
    async function expectKept(): Promise<void> {
      const report = await laptop.snapshots.remove(["latest"]);
      expect(report.released.map(({ released }) => released)).to.deep.equal([all]);
    }

    it("leave alone what was confirmed since the first put of the account, although it had no list then", async () => {
      writeFileSync(dir("first"), pseudoRandomBytes("first", MIB));
      await desktop.put([dir("first")], options);
      proxy.asked.length = 0;
      expect((await desktop.put([dir("first")], options)).uploadedObjects).to.equal(0);
      expect(proxy.asked.filter((request) => request.endsWith("/keep"))).to.deep.equal([]);
      const { snapshots } = await desktop.snapshots.list();
      await desktop.snapshots.remove(snapshots.map(({ id }) => id));
    });

    it("leave the other what it has claimed", async () => {
      all = (await laptop.put([dir("shared")], options)).objects;
      const { released } = removeAllBeforeNextHead();
      await desktop.put([dir("shared")], options);
      expect(released).to.deep.equal([all]);
      expect(proxy.asked.filter((request) => request.endsWith("/keep"))).to.have.length(1);
      expect(proxy.asked.filter((request) => request.startsWith("PUT /v1/head"))).to.have.length(2);
      expect((await laptop.snapshots.list()).snapshots).to.have.length(1);
      await expectKept();
    });

    it("leave the other what it takes from its file cache", async () => {
      await desktop.put([dir("shared")], options);
      const { released } = removeAllBeforeNextHead();
      const cached = await desktop.put([dir("shared")], options);
      expect(released).to.deep.equal([all]);
      expect([cached.objects < all, cached.uploadedObjects]).to.deep.equal([true, 0]);
      await expectKept();
      // What was removed before the put began.
      await desktop.put([dir("shared")], options);
      proxy.before = async () => false;
      await expectKept();
    });
  });

  describe("of a provider that has lost an object", () => {
    let proxy: ForwardingProxy;
    let bob: Person;
    let lost = "";
    before(async () => {
      proxy = await startForwardingProxy(net.provider.url);
      proxy.before = async (method, path) => `${method} ${path}` === lost;
      const providers = [{ account: net.provider.account, url: proxy.url }];
      writeFileSync(dir("deployment.json"), JSON.stringify({ ...net.deployment, providers }));
      bob = { ...(await newPerson(net, "bob")), deploymentFile: dir("deployment.json") };
    });
    after(() => proxy?.stop());

    it("are restored in part, with an exit code that says so, and not verified", async () => {
      mkdirSync(dir("five"));
      for (const k of [1, 2, 3, 4, 5]) writeFileSync(dir("five", `f${k}`), pseudoRandomBytes(`f${k}`, 3 * MIB));
      await documentOf(bob, "put", dir("five"), "--no-data-set");
      const deployment = JSON.parse(readFileSync(dir("deployment.json"), "utf8"));
      await withAgentOf(
        net,
        bob,
        async (agent) => {
          await agent.getBytes("latest:five/f3");
          lost = proxy.asked.at(-1) ?? "";
          expect(lost).to.match(/^GET \/v1\/chunks\//);
        },
        deployment,
      );
      const got = await tallystick(bob, ["get", "latest", "-o", dir("five back")]);
      expect(got.exitCode, got.stderr).to.equal(EXIT.incomplete);
      expect((got.document.damaged as { path: string }[]).map(({ path }) => path)).to.deep.equal(["five/f3"]);
      expect(got.stderr).to.match(/five\/f3, from byte \d+ on/);
      for (const k of [1, 2, 4, 5]) {
        const back = readFileSync(dir("five back", "five", `f${k}`));
        expect(Buffer.compare(back, pseudoRandomBytes(`f${k}`, 3 * MIB)), `f${k}`).to.equal(0);
      }
      const verified = await tallystick(bob, ["verify", "latest"]);
      expect(verified.exitCode).to.equal(EXIT.integrity);
      expect(verified.document.error).to.include({ code: "INTEGRITY" });
      expect(verified.stderr).to.contain("five/f3");
    });

    it("hold a file that is written to all the time, as it was read, and the exit code says so", async () => {
      mkdirSync(dir("logs"));
      const script = 'while :; do head -c 65536 /dev/zero >> "$0"; sleep 0.001; done';
      // Long enough to be written to while it is read.
      writeFileSync(dir("logs", "big.log"), pseudoRandomBytes("log", 24 * MIB));
      const writer = spawn("sh", ["-c", script, dir("logs", "big.log")], { stdio: "ignore" });
      try {
        for (const named of [dir("logs"), dir("logs", "big.log")]) {
          const put = await tallystick(bob, ["put", named, "--no-data-set"]);
          expect(put.exitCode, put.stderr).to.equal(EXIT.incomplete);
          expect(put.document).to.deep.include({ entries: named === dir("logs") ? 2 : 1 });
          expect(put.document.totalBytes).to.be.greaterThan(24 * MIB);
          expect(put.document.leftOut).to.deep.include({ incomplete: true, counts: { changed: 1 } });
          expect(put.document.snapshot).to.deep.include({ unreadEntries: 0 });
          expect(put.stderr).to.contain("it changed while it was being read; stored as it was read");
        }
      } finally {
        writer.kill("SIGKILL");
      }
    });

    it("are restored beside files that differ, which stay, are named, and cost the exit code", async () => {
      for (const folder of ["beside", "back/beside"]) mkdirSync(dir(folder), { recursive: true });
      for (const name of ["a", "b", "skipped"]) writeFileSync(dir("beside", name), `stored ${name}`);
      writeFileSync(dir("back", "beside", "a"), "mine");
      const options = ["--no-data-set", "--exclude", "skipped", "--time", "2099-01-01"];
      const put = await tallystick(bob, ["put", dir("beside"), ...options]);
      expect(put.exitCode, put.stderr).to.equal(0);
      expect(put.stderr)
        .to.match(/2099-01-01T.* is in the future/)
        .and.not.contain("skipped");
      expect(put.document.leftOut).to.deep.equal({
        incomplete: false,
        counts: { excluded: 1 },
        remarks: [{ kind: "excluded", path: dir("beside", "skipped"), reason: "excluded by a pattern" }],
      });
      const id = String(put.document.dataId);
      const got = await tallystick(bob, ["get", id, "-o", dir("back")]);
      expect(got.exitCode, got.stderr).to.equal(EXIT.incomplete);
      const { count, entries } = got.document.left as { count: number; entries: { path: string; error: object }[] };
      expect([count, entries.map(({ path }) => path)]).to.deep.equal([1, ["beside/a"]]);
      expect(entries[0]?.error).to.include({ code: "CONFLICT", check: "existing file" });
      expect(got.stderr)
        .to.contain(`${dir("back", "beside", "a")} exists`)
        .and.contain("1 entry is not restored");
      expect(readFileSync(dir("back", "beside", "a"), "utf8")).to.equal("mine");
      expect(readFileSync(dir("back", "beside", "b"), "utf8")).to.equal("stored b");
      const over = await tallystick(bob, ["get", id, "-o", dir("back"), "--overwrite"]);
      expect(over.exitCode, over.stderr).to.equal(0);
      expect(over.document.left).to.deep.equal({ count: 0, entries: [] });
      expect(readFileSync(dir("back", "beside", "a"), "utf8")).to.equal("stored a");
    });
  });
});
