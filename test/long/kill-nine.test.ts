/**
 * kill -9 in the middle of a put: of the command, of the provider, of a key node, at random points between any two
 * requests. Whatever was acknowledged is still there, running put again finishes, get gives the same bytes, and
 * everything is recorded and paid once.
 */
import { mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { fileTag } from "../../offchain/core/record/key-record.ts";
import { type CommandResult, startTallystick, tallystick } from "../../scripts/demo/command.ts";
import type { DevnetDaemon } from "../../scripts/devnet/start-devnet.ts";
import { notServed, providerFor } from "../helpers/acknowledged.ts";
import { Interruptions, type Moment } from "../helpers/interruptions.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { escrowEvents, ledgerEvents } from "../helpers/on-chain.ts";
import { newPerson, type Person, withAgentOf } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { chance, SEED } from "../helpers/seeded.ts";
import { expectSameTree, readTree } from "../helpers/trees.ts";

const COMMAND_ROUNDS = 3;
/** Kills of one put, one run after the other. */
const KILLS_IN_A_ROW = 4;
const PROVIDER_ROUNDS = 2;
const NODE_ROUNDS = 1;
/** More than one group of uploads. */
const LARGE_FILE_BYTES = 9 * 1024 * 1024;
const RUNWAY_EPOCHS = 200;
/** That a disturbed put may take more than another one: metadata of a run that was killed, rounding. */
const MORE_SLICES = 3;
/** Strikes are planned within this part of what an undisturbed put asks for, so that they come before its end. */
const PART_STRUCK = 0.85;
const LONGEST_DELAY_MILLISECONDS = 120;
/** Runs of put until it must have finished. */
const RUNS = 3;

describe(`put under kill -9 (TALLYSTICK_TEST_SEED=${SEED})`, () => {
  let net: LocalNet;
  let wires: Interruptions;
  let alice: Person;
  /** Requests of an undisturbed put, and what it adds to the set. */
  let usualRequests: number;
  let usualSlices: number;
  /** Puts that have been finished: each has one record, and all are in one data set. */
  let finished = 0;
  /** What somebody else has done beside it. */
  let others = { opened: 0, deposited: 0 };
  /** The device's only one. */
  let dataSetId: string;
  const dir = (...names: string[]) => join(net.dir, ...names);

  before(async () => {
    net = await startLocalNet({ ...SMALL_COMMITTEE, epochBlocks: 2000 });
    wires = await Interruptions.start(net);
    const deploymentFile = dir("by-way-of-proxies.json");
    writeFileSync(deploymentFile, JSON.stringify(wires.deploymentOf(net)));
    alice = { ...(await newPerson(net, "alice")), deploymentFile };
    // What is funded here lasts for all that follows, so an undisturbed put is one that appends.
    await withAgentOf(net, alice, (agent) => agent.dataSets.topUp(10n ** 18n));
    for (const name of ["first", "undisturbed"]) {
      wires.reset();
      const { exitCode, stderr, document } = await put(makeFolder(name));
      expect(exitCode, stderr).to.equal(0);
      usualRequests = wires.requests;
      finished += 1;
      dataSetId = setOf(document).id;
      usualSlices = setOf(document).slices / finished;
    }
  });
  after(async () => {
    await wires?.stop();
    await net?.stop();
  });

  /** The request with this place among those that are like this. */
  function nth(place: number, isLike: (request: { path: string; body: Uint8Array }) => boolean): Moment["request"] {
    let passed = 0;
    return (request) => {
      if (!isLike(request)) return false;
      passed += 1;
      return passed === place;
    };
  }

  function makeFolder(name: string): string {
    const folder = dir(name);
    mkdirSync(join(folder, "notes"), { recursive: true });
    writeFileSync(join(folder, "large"), pseudoRandomBytes(`${name} large`, LARGE_FILE_BYTES));
    for (let file = 0; file < 5; file += 1) writeFileSync(join(folder, "notes", `${file}`), `${name} ${file}`);
    symlinkSync("large", join(folder, "link"));
    utimesSync(join(folder, "large"), 1_650_000_000, 1_650_000_000);
    return folder;
  }

  const putArguments = (folder: string) => ["put", folder, "--runway", String(RUNWAY_EPOCHS)];
  const setOf = (document: CommandResult["document"]) =>
    (document.dataSets as { id: string; version: string; slices: number; isNew: boolean }[])[0] ?? {
      id: "",
      slices: 0,
    };
  const put = (folder: string): Promise<CommandResult> => tallystick(alice, putArguments(folder));

  function randomMoment(round: string): Moment {
    return {
      request: 1 + chance(`${round}: request`, Math.floor(usualRequests * PART_STRUCK)),
      when: (["before", "after", "later"] as const)[chance(`${round}: when`, 3)] ?? "before",
      delayMilliseconds: chance(`${round}: delay`, LONGEST_DELAY_MILLISECONDS),
    };
  }

  /** Runs put until it succeeds. @returns the document of the successful run */
  async function finish(folder: string): Promise<CommandResult["document"]> {
    for (let run = 1; ; run += 1) {
      const { exitCode, document, stderr } = await put(folder);
      if (exitCode === 0) return document;
      if (run === RUNS) throw new Error(`put did not finish in ${RUNS} runs: ${stderr}`);
    }
  }

  /** Everything that must hold however the put was disturbed. */
  async function expectFinished(folder: string, document: CommandResult["document"]): Promise<void> {
    finished += 1;
    const dataId = String(document.dataId);
    const out = dir(`${dataId} out`);
    const sets = await withAgentOf(net, alice, async (agent) => {
      await agent.get(dataId, out);
      // The provider has what the set says that it has, and nothing of this put is missing in it.
      await agent.dataSets.audit(dataSetId);
      const again = await agent.dataSets.add(dataId);
      expect(again[0], "slices that were missing").to.include({ id: dataSetId, addedSlices: 0 });
      return await agent.dataSets.list();
    });
    const name = folder.slice(net.dir.length + 1);
    expectSameTree(readTree(join(out, name)), readTree(folder));

    const tag = toHex(fileTag(dataId));
    const events = await ledgerEvents(net);
    const records = events.filter((event) => event.kind === "KeyRecorded" && event.record.fileTag === tag);
    expect(records, "records of the put").to.have.length(1);
    expect(sets.map(({ id, status }) => `${id} ${status}`)).to.deep.equal([`${dataSetId} running`]);
    expect(setOf(document), "the set as put reports it").to.include({ id: dataSetId, slices: sets[0]?.slices });
    expect(sets[0]?.slices, "slices of all puts").to.be.at.most(finished * (usualSlices + MORE_SLICES));
    await expectPaidOnce();
  }

  /** One set, in which nothing is twice, and no money beside what was deposited at first. */
  async function expectPaidOnce(): Promise<void> {
    const events = await escrowEvents(net);
    const count = (kind: string) => events.filter((event) => event.kind === kind).length;
    expect(count("DataSetOpened"), "data sets").to.equal(1 + others.opened);
    expect(count("Deposited"), "deposits").to.equal(1 + others.deposited);
  }

  /** Every object that the provider acknowledged is still served, byte for byte. */
  async function expectAcknowledgedServed(): Promise<void> {
    const wrong = await notServed(providerFor(net, alice.recoveryPhrase), wires.acknowledged);
    expect(Object.fromEntries(wrong)).to.deep.equal({});
  }

  /** Starts put and strikes at the moment. @returns its exit code */
  async function disturbedPut(folder: string, moment: Moment, strike: (kill: () => void) => Promise<void>) {
    wires.reset();
    const command = startTallystick(alice, ["--json", ...putArguments(folder)]);
    wires.plan(moment, () => strike(() => command.process.kill("SIGKILL")));
    const { exitCode, stderr } = await command.ended;
    expect(wires.struck, `nothing was struck at; ${wires.requests} requests: ${stderr}`).to.not.equal(undefined);
    return { exitCode, stderr };
  }

  async function killCommand(folder: string, moment: Moment): Promise<void> {
    const { exitCode } = await disturbedPut(folder, moment, async (kill) => kill());
    expect(exitCode).to.not.equal(0);
    await expectAcknowledgedServed();
    wires.reset();
  }

  async function killedCommandRound(name: string, moment: Moment): Promise<void> {
    const folder = makeFolder(name);
    await killCommand(folder, moment);
    await expectFinished(folder, await finish(folder));
  }

  describe("of the command", () => {
    for (let round = 1; round <= COMMAND_ROUNDS; round += 1) {
      it(`finishes when it is run again (${round})`, async () => {
        const name = `command ${round}`;
        await killedCommandRound(name, randomMoment(name));
      });
    }

    it("finishes after it was killed again and again", async () => {
      const folder = makeFolder("again and again");
      for (let kill = 1; kill <= KILLS_IN_A_ROW; kill += 1) {
        // What earlier runs have done is not asked for again, so later ones make fewer requests.
        const { request, ...moment } = randomMoment(`again ${kill}`);
        await killCommand(folder, { ...moment, request: Math.ceil(Number(request) / 2) });
      }
      await expectFinished(folder, await finish(folder));
    });

    /** Requests to the chain may come in batches. */
    const isTransaction = ({ path, body }: { path: string; body: Uint8Array }) =>
      path === "/" && new TextDecoder().decode(body).includes('"eth_sendRawTransaction"');

    const proposesState = ({ path }: { path: string }) => path.endsWith("/updates");

    it("goes on with the state that it has signed when it was killed before the provider had it", async () => {
      await killedCommandRound("before the state", { when: "before", request: proposesState });
    });

    it("finds the state on chain when it was killed after the provider had sent it", async () => {
      await killedCommandRound("after the state", { when: "after", request: proposesState });
    });

    it("opens one set, and deposits once, when another device is killed at both", async () => {
      const deploymentFile = alice.deploymentFile;
      const bob = { ...(await newPerson(net, "bob")), deploymentFile };
      const file = dir("of bob");
      writeFileSync(file, "of bob");
      const moments: Moment[] = [
        // The deposit: nothing else is sent by the device itself.
        { when: "after", request: isTransaction },
        { when: "after", request: ({ path }) => path.endsWith("/open") },
      ];
      for (const moment of moments) {
        wires.reset();
        const command = startTallystick(bob, ["--json", "put", file]);
        wires.plan(moment, async () => void command.process.kill("SIGKILL"));
        expect((await command.ended).exitCode).to.not.equal(0);
        expect(wires.struck).to.not.equal(undefined);
      }
      wires.reset();
      const { exitCode, document, stderr } = await tallystick(bob, ["put", file]);
      expect(exitCode, stderr).to.equal(0);
      const events = (await escrowEvents(net)).filter(
        (event) =>
          (event.kind === "Deposited" && event.user === bob.account) ||
          (event.kind === "DataSetOpened" && event.terms.user === bob.account),
      );
      expect(events.map(({ kind }) => kind)).to.deep.equal(["Deposited", "DataSetOpened"]);
      expect(events.at(-1)).to.include({ id: setOf(document).id });
      const { dataSets } = (await tallystick(bob, ["data-set", "ls"])).document as { dataSets: object[] };
      expect(dataSets).to.have.length(1);
      await tallystick(bob, ["data-set", "notice", setOf(document).id]);
      others = { opened: 1, deposited: 1 };
    });

    it("leaves files that a later put removes, once no command can be using them", async () => {
      const preparations = join(alice.home, "preparations");
      for (const name of ["fresh", "old"]) mkdirSync(join(preparations, name), { recursive: true });
      const left = readdirSync(preparations);
      for (const name of left) if (name !== "fresh") utimesSync(join(preparations, name), 1.5e9, 1.5e9);
      const file = dir("later");
      writeFileSync(file, "later");
      await withAgentOf(net, alice, (agent) => agent.put([file]));
      finished += 1;
      expect(readdirSync(preparations)).to.deep.equal(["fresh"]);
    });
  });

  describe("of the provider", () => {
    /** The request with this place among those to the provider. */
    const toProvider = (place: number) => nth(place, ({ path }) => path.startsWith("/v1/"));

    /** Kills the provider at a moment of a put, and starts it again at once. */
    async function killProvider(folder: string, moment: Moment): Promise<void> {
      let restarted: Promise<void> = Promise.resolve();
      await disturbedPut(folder, moment, async () => {
        await net.provider.process.stop("SIGKILL");
        restarted = net.provider.process.start();
      });
      await restarted;
      await expectAcknowledgedServed();
    }

    for (let round = 1; round <= PROVIDER_ROUNDS; round += 1) {
      it(`loses nothing that it acknowledged, and put finishes (${round})`, async () => {
        const name = `provider ${round}`;
        const folder = makeFolder(name);
        const request = toProvider(1 + chance(`${name}: request`, 16));
        await killProvider(folder, { ...randomMoment(name), request });
        await expectFinished(folder, await finish(folder));
      });
    }

    it("has everything that it acknowledged just before it was killed", async () => {
      const folder = makeFolder("just acknowledged");
      // Whatever is asked next, of it or of the chain: the agent has its first word of stored objects by then.
      await killProvider(folder, { when: "before", request: () => wires.acknowledged.size > 0 });
      await expectFinished(folder, await finish(folder));
    });

    it("goes on with a state that it brought on chain just before it was killed", async () => {
      const folder = makeFolder("dead after the state");
      await killProvider(folder, { when: "after", request: ({ path }) => path.endsWith("/updates") });
      const document = await finish(folder);
      await expectFinished(folder, document);
      const { providerView, version } = await withAgentOf(net, alice, (agent) => agent.dataSets.show(dataSetId));
      expect(providerView).to.include({ state: "running", id: dataSetId, version: String(version) });
    });
  });

  describe("of a key node", () => {
    // `later`: what the wires carry goes to others than the node, and is not to be lost with it.
    const momentFor = (name: string): Moment => ({ ...randomMoment(name), when: "later" });

    for (let round = 1; round <= NODE_ROUNDS; round += 1) {
      it(`does not make put fail, and the node finds every record again (${round})`, async () => {
        const name = `node ${round}`;
        const folder = makeFolder(name);
        const node = net.nodes[chance(`${name}: which`, net.nodes.length)] as DevnetDaemon;
        const { exitCode, stderr } = await disturbedPut(folder, momentFor(name), () => node.process.stop("SIGKILL"));
        expect(exitCode, stderr).to.equal(0);
        const document = await finish(folder);
        await node.process.start();
        await expectFinished(folder, document);
        await expectArchiveComplete(node);
      });
    }

    it("loses no record and no share when it hits all of them at once", async () => {
      const folder = makeFolder("all nodes");
      await disturbedPut(folder, momentFor("all nodes"), async () => {
        await Promise.all(net.nodes.map(({ process }) => process.stop("SIGKILL")));
      });
      await Promise.all(net.nodes.map(({ process }) => process.start()));
      await expectFinished(folder, await finish(folder));
      for (const node of net.nodes) await expectArchiveComplete(node);
    });

    /** Every record on the ledger is in the node's archive, with a share that it can open. */
    async function expectArchiveComplete(node: DevnetDaemon): Promise<void> {
      const recorded = (await ledgerEvents(net)).filter(
        (event) => event.kind === "KeyRecorded" && event.record.account === alice.account,
      );
      expect(recorded).to.have.length(finished);
      const answer = await fetch(`${node.url}/v1/records?account=${alice.account}&limit=200`);
      const { records } = (await answer.json()) as { records: { share: string }[] };
      expect(records.map(({ share }) => share)).to.deep.equal(recorded.map(() => "valid"));
    }
  });
});
