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
import { jsonOf } from "../helpers/http-proxy.ts";
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
const EPOCHS = 2;
/** Strikes are planned within this part of what an undisturbed put asks for, so that they come before its end. */
const PART_STRUCK = 0.85;
const LONGEST_DELAY_MILLISECONDS = 120;
/** Runs of put until it must have finished. */
const RUNS = 3;

describe(`put under kill -9 (TALLYSTICK_TEST_SEED=${SEED})`, () => {
  let net: LocalNet;
  let wires: Interruptions;
  let alice: Person;
  /** Requests of an undisturbed put. */
  let usualRequests: number;
  /** Puts that have been finished: each has one record and one running agreement. */
  let finished = 0;
  const dir = (...names: string[]) => join(net.dir, ...names);

  before(async () => {
    net = await startLocalNet({ ...SMALL_COMMITTEE, epochBlocks: 2000 });
    wires = await Interruptions.start(net);
    const deploymentFile = dir("by-way-of-proxies.json");
    writeFileSync(deploymentFile, JSON.stringify(wires.deploymentOf(net)));
    alice = { ...(await newPerson(net, "alice")), deploymentFile };
    const { exitCode, stderr } = await put(makeFolder("undisturbed"));
    expect(exitCode, stderr).to.equal(0);
    usualRequests = wires.requests;
    finished += 1;
  });
  after(async () => {
    await wires?.stop();
    await net?.stop();
  });

  function makeFolder(name: string): string {
    const folder = dir(name);
    mkdirSync(join(folder, "notes"), { recursive: true });
    writeFileSync(join(folder, "large"), pseudoRandomBytes(`${name} large`, LARGE_FILE_BYTES));
    for (let file = 0; file < 5; file += 1) writeFileSync(join(folder, "notes", `${file}`), `${name} ${file}`);
    symlinkSync("large", join(folder, "link"));
    utimesSync(join(folder, "large"), 1_650_000_000, 1_650_000_000);
    return folder;
  }

  const putArguments = (folder: string) => ["put", folder, "--epochs", String(EPOCHS)];
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
    const { manifestHash } = ((document.agreements as unknown[])[0] as { terms: { manifestHash: string } }).terms;
    const out = dir(`${dataId} out`);
    const agreements = await withAgentOf(net, alice, async (agent) => {
      await agent.get(dataId, out);
      return (await agent.agreements.list()).filter(({ terms }) => terms.manifestHash === manifestHash);
    });
    const name = folder.slice(net.dir.length + 1);
    expectSameTree(readTree(join(out, name)), readTree(folder));

    const tag = toHex(fileTag(dataId));
    const events = await ledgerEvents(net);
    const records = events.filter((event) => event.kind === "KeyRecorded" && event.record.fileTag === tag);
    expect(records, "records of the put").to.have.length(1);
    const statuses = agreements.map(({ status }) => status);
    expect(statuses, "agreements about the put").to.deep.equal(["active"]);
    await expectPaidOnce();
  }

  /** One deposit for each put; others were taken back and are the user's credit. */
  async function expectPaidOnce(): Promise<void> {
    const events = await escrowEvents(net);
    const count = (kind: string) => events.filter((event) => event.kind === kind).length;
    expect(count("AgreementProposed") - count("AgreementCancelled"), "deposits that count").to.equal(finished);
    expect(count("AgreementAccepted"), "accepted agreements").to.equal(finished);
    const refunds = events.reduce((sum, event) => sum + (event.kind === "AgreementCancelled" ? event.refund : 0n), 0n);
    const credit = await withAgentOf(net, alice, (agent) => agent.agreements.credit());
    expect(credit, "credit from proposals that were taken back").to.equal(refunds);
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

    it("finds its proposal again when it was killed before it knew the transaction", async () => {
      const isTransaction = (request: { path: string; body: Uint8Array }) =>
        request.path === "/" && jsonOf(request).method === "eth_sendRawTransaction";
      await killedCommandRound("proposing", { when: "after", request: isTransaction });
      await expectNoProposalTakenBack();
    });

    it("goes on with its proposal when it was killed between proposal and acceptance", async () => {
      const asksToAccept = ({ path }: { path: string }) => path === "/v1/agreements";
      await killedCommandRound("before acceptance", { when: "before", request: asksToAccept });
      await expectNoProposalTakenBack();
    });

    it("finds the agreement when it was killed after acceptance, before it knew of it", async () => {
      const asksToAccept = ({ path }: { path: string }) => path === "/v1/agreements";
      await killedCommandRound("after acceptance", { when: "after", request: asksToAccept });
      await expectNoProposalTakenBack();
    });

    /** The newest proposal is the one that was accepted. */
    async function expectNoProposalTakenBack(): Promise<void> {
      const kinds = (await escrowEvents(net)).map(({ kind }) => kind).filter((kind) => kind.startsWith("Agreement"));
      expect(kinds.slice(-2)).to.deep.equal(["AgreementProposed", "AgreementAccepted"]);
    }

    it("leaves files that a later put removes, once no command can be using them", async () => {
      const preparations = join(alice.home, "preparations");
      for (const name of ["fresh", "old"]) mkdirSync(join(preparations, name), { recursive: true });
      const left = readdirSync(preparations);
      for (const name of left) if (name !== "fresh") utimesSync(join(preparations, name), 1.5e9, 1.5e9);
      const file = dir("later");
      writeFileSync(file, "later");
      await withAgentOf(net, alice, (agent) => agent.put([file], { agreement: { epochs: EPOCHS } }));
      finished += 1;
      expect(readdirSync(preparations)).to.deep.equal(["fresh"]);
    });
  });

  describe("of the provider", () => {
    /** The request with this place among those to the provider. */
    function toProvider(place: number): Moment["request"] {
      let passed = 0;
      return ({ path }) => {
        if (!path.startsWith("/v1/")) return false;
        passed += 1;
        return passed === place;
      };
    }

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

    it("continues an agreement that it accepted on chain just before it was killed", async () => {
      const folder = makeFolder("dead after acceptance");
      await killProvider(folder, { when: "after", request: ({ path }) => path === "/v1/agreements" });
      const document = await finish(folder);
      await expectFinished(folder, document);
      const id = BigInt(((document.agreements as unknown[])[0] as { agreementId: string }).agreementId);
      const { providerView } = await withAgentOf(net, alice, (agent) => agent.agreements.show(id));
      expect(providerView).to.include({ state: "active", agreementId: String(id) });
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
      const recorded = (await ledgerEvents(net)).filter(({ kind }) => kind === "KeyRecorded");
      expect(recorded).to.have.length(finished);
      const answer = await fetch(`${node.url}/v1/records?account=${alice.account}&limit=200`);
      const { records } = (await answer.json()) as { records: { share: string }[] };
      expect(records.map(({ share }) => share)).to.deep.equal(recorded.map(() => "valid"));
    }
  });
});
