/**
 * Get and put while key nodes are gone or lie: any three right ones of five are enough, from a device that has only the
 * recovery phrase and the deployment file; with fewer, everybody's answer is told and nothing is written.
 */
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { NodeReport } from "../../offchain/agent/keys/node-reports.ts";
import type { GetReport } from "../../offchain/agent/read/get.ts";
import { type CommandUser, tallystick } from "../../scripts/demo/command.ts";
import type { DevnetDaemon } from "../../scripts/devnet/start-devnet.ts";
import { assignedPositions } from "../helpers/assigned-nodes.ts";
import { type LocalNet, startLocalNet } from "../helpers/local-net.ts";
import { type Lie, LyingNode } from "../helpers/lying-node.ts";
import { packedObjects } from "../helpers/pack-files.ts";
import { newPerson, type Person, personFrom, withAgentOf } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";
import { expectSameTree, readTree } from "../helpers/trees.ts";

/** Attempts until chance has asked every lying node: three of five are asked at a time. */
const ATTEMPTS = 40;
const EXIT_KEYS = 8;

describe("a committee of which some are dead or lie", () => {
  let net: LocalNet;
  let alice: Person;
  let folder: string;
  let dataId: string;
  let devices = 0;
  const dir = (...names: string[]) => join(net.dir, ...names);
  const node = (position: number) => net.nodes[position] as DevnetDaemon;

  before(async () => {
    net = await startLocalNet();
    alice = await newPerson(net, "alice");
    folder = dir("letters");
    mkdirSync(join(folder, "old"), { recursive: true });
    writeFileSync(join(folder, "long"), pseudoRandomBytes("long", 700_000));
    writeFileSync(join(folder, "old", "short"), "dear all,");
    symlinkSync("old/short", join(folder, "latest"));
    dataId = (await withAgentOf(net, alice, (agent) => agent.put([folder], { dataSet: false }))).dataId;
  });
  after(() => net?.stop());

  /** Nothing of the first device is there. */
  async function newDevice(): Promise<Person> {
    devices += 1;
    return await personFrom(net, `device-${devices}`, alice.recoveryPhrase);
  }

  async function getOnNewDevice(): Promise<GetReport> {
    const device = await newDevice();
    const out = join(device.home, "out");
    const report = await withAgentOf(net, device, (agent) => agent.get(dataId, out, { keySource: "committee" }));
    expectSameTree(readTree(join(out, "letters")), readTree(folder));
    return report;
  }

  async function putNewFile(name: string) {
    const file = dir(name);
    writeFileSync(file, pseudoRandomBytes(name, 5000));
    const report = await withAgentOf(net, alice, (agent) => agent.put([file], { dataSet: false }));
    return { file, report };
  }

  describe("with two of five dead", () => {
    const pairs: [number, number][] = [
      [0, 1],
      [1, 3],
      [2, 4],
    ];
    for (const [first, second] of pairs) {
      describe(`nodes ${first + 1} and ${second + 1}`, () => {
        before(() => Promise.all([first, second].map((position) => node(position).process.stop("SIGKILL"))));
        after(() => Promise.all([first, second].map((position) => node(position).process.start())));

        it("restores everything on a new device, and says who answered", async () => {
          const { nodes } = await getOnNewDevice();
          const answers = nodes.map(({ answer }) => answer);
          expect(answers.filter((answer) => answer === "right")).to.have.length(3);
          for (const [position, answer] of answers.entries()) {
            const dead = position === first || position === second;
            expect(answer, `node ${position + 1}`).to.be.oneOf(dead ? ["UNREACHABLE", "not asked"] : ["right"]);
          }
        });
      });
    }

    it("restores everything by the command line, given the phrase and the deployment file only", async () => {
      await Promise.all([2, 3].map((position) => node(position).process.stop("SIGKILL")));
      const user: CommandUser = {
        home: dir("command-home"),
        deploymentFile: net.deploymentFile,
        passphrase: "of the new device",
        extra: { TALLYSTICK_RECOVERY_PHRASE: alice.recoveryPhrase },
      };
      const recovered = await tallystick(user, ["recover"]);
      expect(recovered.exitCode, recovered.stderr).to.equal(0);
      expect(recovered.document).to.deep.include({ account: alice.account, failed: [] });
      expect(recovered.document.recovered).to.have.length(1);
      expect((recovered.document.recovered as object[])[0]).to.include({ dataId, name: "letters", role: "recorder" });
      const listed = await tallystick(user, ["ls"]);
      expect((listed.document.puts as object[])[0]).to.include({ dataId });
      const got = await tallystick(user, ["get", dataId, "-o", dir("command-out")]);
      expect(got.exitCode, got.stderr).to.equal(0);
      expectSameTree(readTree(dir("command-out", "letters")), readTree(folder));
    });

    it("stores as well, under the same data id as with all of them", async () => {
      const { file, report } = await putNewFile("stored by three");
      expect(report.record).to.include({ role: "recorder", isNew: true });
      await Promise.all([2, 3].map((position) => node(position).process.start()));
      await Promise.all([0, 1].map((position) => node(position).process.stop("SIGKILL")));
      const again = await withAgentOf(net, alice, (agent) => agent.put([file], { dataSet: false }));
      expect(again).to.include({ dataId: report.dataId, uploadedBytes: 0 });
      expect(again.record.isNew).to.equal(false);
      await Promise.all([0, 1].map((position) => node(position).process.start()));
    });
  });

  describe("with three of five dead", () => {
    const dead = [0, 2, 3];
    before(() => Promise.all(dead.map((position) => node(position).process.stop("SIGKILL"))));
    after(() => Promise.all(dead.map((position) => node(position).process.start())));

    it("restores everything: the owner's envelope in the record needs no node", async () => {
      const out = dir("without-nodes");
      const { exitCode } = await tallystick(alice, ["get", dataId, "-o", out]);
      expect(exitCode).to.equal(0);
      expectSameTree(readTree(join(out, "letters")), readTree(folder));
    });

    it("says what each node answered when the committee cannot give the key; leaves the target as it was", async () => {
      const out = dir("out-of-reach");
      const error = await withAgentOf(net, alice, (agent) =>
        expectAsyncRejection(() => agent.get(dataId, out, { keySource: "committee" }), "SHARES_MISSING"),
      );
      expect(error.retryable).to.equal(true);
      expect(error.expected).to.contain("3");
      const { nodes } = error.details as { nodes: NodeReport[] };
      expect(nodes.map(({ index, url, answer }) => ({ index, url, answer }))).to.deep.equal(
        net.nodes.map(({ url }, position) => {
          return { index: position + 1, url, answer: dead.includes(position) ? "UNREACHABLE" : "right" };
        }),
      );
      for (const { url } of net.nodes) expect(error.received).to.contain(url);
      expect(existsSync(out)).to.equal(false);
    });

    it("does not touch a target that exists", async () => {
      const out = dir("kept");
      mkdirSync(out);
      writeFileSync(join(out, "mine"), "mine");
      const before = readTree(out);
      await withAgentOf(net, alice, (agent) =>
        expectAsyncRejection(() => agent.get(dataId, out, { keySource: "committee" }), "SHARES_MISSING"),
      );
      expect(readTree(out)).to.deep.equal(before);
    });

    it("stores nothing, and names the nodes that did not evaluate", async () => {
      const file = dir("not stored");
      writeFileSync(file, "not stored");
      const objects = storedObjects();
      const { exitCode, document } = await tallystick(alice, ["put", file, "--no-data-set"]);
      expect(exitCode).to.equal(EXIT_KEYS);
      expect(document.error).to.deep.include({ code: "QUORUM_FAILED", party: "committee" });
      expect(storedObjects()).to.deep.equal(objects);
      const { document: listed } = await tallystick(alice, ["ls"]);
      expect(JSON.stringify(listed)).to.not.contain("not stored");
    });
  });

  /** Ids of the objects on the provider's disk. */
  function storedObjects(): string[] {
    return [...packedObjects(join(net.provider.dir, "data", "store")).keys()].sort();
  }

  describe("with liars in it", () => {
    let liars: LyingNode[] = [];
    before(async () => {
      liars = await Promise.all(net.nodes.map((each) => LyingNode.inPlaceOf(net, each)));
    });
    after(() => Promise.all(liars.map((each) => each.stop())));
    afterEach(() => tell("honest", [0, 1, 2, 3, 4]));

    function tell(lie: Lie, positions: readonly number[]): LyingNode[] {
      const chosen = positions.map((position) => liars[position] as LyingNode);
      for (const liar of chosen) {
        liar.lie = lie;
        liar.told = 0;
      }
      return chosen;
    }

    const assigned = () => assignedPositions(net, alice.account);

    /** Two of those that are asked first. */
    async function twoAsked(): Promise<number[]> {
      const [first = 0, , third = 0] = await assigned();
      return [first, third];
    }

    /** Repeats until every one of them has lied. @returns all that was reported of nodes meanwhile */
    async function untilAllLied(chosen: readonly LyingNode[], work: () => Promise<readonly NodeReport[]>) {
      const reports: NodeReport[] = [];
      for (let attempt = 0; chosen.some(({ told }) => told === 0); attempt += 1) {
        if (attempt === ATTEMPTS) throw new Error(`they did not all lie in ${ATTEMPTS} attempts`);
        reports.push(...(await work()));
      }
      return reports;
    }

    /** Nobody but the liars is blamed, and each of them is, for one of the codes. */
    function expectBlamed(
      reports: readonly NodeReport[],
      chosen: readonly LyingNode[],
      codes: readonly string[],
    ): void {
      const blamed = reports.filter(({ answer }) => answer !== "right" && answer !== "not asked");
      expect([...new Set(blamed.map(({ url }) => url))].sort()).to.deep.equal(chosen.map(({ url }) => url).sort());
      for (const { answer, message, url } of blamed) {
        expect(answer).to.be.oneOf(codes);
        expect(message).to.contain(url);
      }
    }

    const wrongAnswers: { lie: Lie; to: "get" | "put" | "both"; codes: string[] }[] = [
      { lie: "wrong shares", to: "get", codes: ["INVALID_PROOF"] },
      { lie: "wrong receipts", to: "get", codes: ["INVALID_SIGNATURE"] },
      { lie: "shares of another", to: "get", codes: ["BAD_RESPONSE"] },
      { lie: "wrong evaluations", to: "put", codes: ["INVALID_PROOF"] },
      { lie: "wrong proofs", to: "put", codes: ["INVALID_PROOF", "INVALID_SCALAR"] },
      { lie: "garbage", to: "both", codes: ["BAD_RESPONSE"] },
    ];
    for (const { lie, to, codes } of wrongAnswers) {
      if (to !== "put") {
        it(`restores everything with two of five answering with ${lie}, and names them`, async () => {
          const chosen = tell(lie, await twoAsked());
          const reports = await untilAllLied(chosen, async () => (await getOnNewDevice()).nodes);
          expectBlamed(reports, chosen, codes);
        });
      }
      if (to !== "get") {
        it(`stores under the right keys with two of five answering with ${lie}, and names them`, async () => {
          const chosen = tell(lie, await twoAsked());
          const stored: { file: string; dataId: string }[] = [];
          const reports = await untilAllLied(chosen, async () => {
            const { file, report } = await putNewFile(`${lie} ${stored.length}`);
            stored.push({ file, dataId: report.dataId });
            return report.nodes;
          });
          expectBlamed(reports, chosen, codes);
          tell("honest", [0, 1, 2, 3, 4]);
          for (const each of stored) {
            const honest = await withAgentOf(net, alice, (agent) => agent.put([each.file], { dataSet: false }));
            expect(honest).to.include({ dataId: each.dataId, uploadedBytes: 0 });
          }
        });
      }
    }

    it("restores everything with one dead and another lying", async () => {
      await node(3).process.stop("SIGKILL");
      const [first = 0] = (await assigned()).filter((position) => position !== 3);
      const chosen = tell("wrong shares", [first]);
      await untilAllLied(chosen, async () => (await getOnNewDevice()).nodes);
      await node(3).process.start();
      // At its start a node puts its own address back into the registry.
      await liars[3]?.stop();
      liars[3] = await LyingNode.inPlaceOf(net, node(3));
    });

    it("restores everything with two of five that take requests and never answer, within a minute", async () => {
      tell("hangs", [0, 1]);
      const started = Date.now();
      const { nodes } = await getOnNewDevice();
      expect(Date.now() - started).to.be.lessThan(60_000);
      expect(nodes.filter(({ answer }) => answer === "right")).to.have.length(3);
      for (const { answer } of nodes.slice(0, 2)) expect(answer).to.be.oneOf(["TIMED_OUT", "not asked"]);
    });

    it("stores with two of five that take requests and never answer, within half a minute", async () => {
      tell("hangs", [0, 1]);
      const started = Date.now();
      const { report } = await putNewFile("hanging");
      expect(Date.now() - started).to.be.lessThan(30_000);
      for (const { answer } of report.nodes.slice(0, 2)) expect(answer).to.be.oneOf(["TIMED_OUT", "not asked"]);
    });

    it("recovers what an account has joined although the first archives show wrong notes of it", async () => {
      const bob = await newPerson(net, "bob");
      const joined = await withAgentOf(net, bob, (agent) => agent.put([folder], { dataSet: false }));
      expect(joined.record.role).to.equal("owner");
      const chosen = tell("wrong notes", [0, 1]);
      const device = await personFrom(net, "bob-again", bob.recoveryPhrase);
      const { recovered, failed } = await withAgentOf(net, device, (agent) => agent.recover());
      for (const { told } of chosen) expect(told).to.be.greaterThan(0);
      expect(failed).to.deep.equal([]);
      expect(recovered.map((put) => put.dataId)).to.deep.equal([joined.dataId]);
    });

    it("fails with three lying about shares, naming each with what it did, and writes nothing", async () => {
      tell("wrong shares", [0, 2, 3]);
      const device = await newDevice();
      const out = join(device.home, "out");
      const error = await withAgentOf(net, device, (agent) =>
        expectAsyncRejection(() => agent.get(dataId, out, { keySource: "committee" }), "SHARES_MISSING"),
      );
      const nodes = error.details?.nodes as NodeReport[];
      expect(nodes.map(({ answer }) => answer)).to.deep.equal([
        "INVALID_PROOF",
        "right",
        "INVALID_PROOF",
        "INVALID_PROOF",
        "right",
      ]);
      expect(existsSync(out)).to.equal(false);
    });

    it("finds the record on the chain when every archive lies about it", async () => {
      tell("wrong records", [0, 1, 2, 3, 4]);
      await getOnNewDevice();
      for (const { told } of liars) expect(told).to.be.greaterThan(0);
    });

    it("verifies on the ledger that a node has relayed: the record is on the ledger when put returns", async () => {
      const chosen = tell("says it relayed", (await assigned()).slice(0, 1));
      let files = 0;
      await untilAllLied(chosen, async () => {
        files += 1;
        const { file, report } = await putNewFile(`relayed ${files}`);
        const status = await withAgentOf(net, alice, (agent) => agent.status(report.dataId));
        expect(status.puts[0], file).to.include({ recorded: true });
        return report.nodes;
      });
    });
  });
});
