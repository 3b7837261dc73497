/**
 * Every command against a real network, for machines and for people: with --json one document and nothing else on
 * stdout; at a terminal prompts and a progress bar; in a pipe neither.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { exitCodeOf } from "../../offchain/cli/exit-codes.ts";
import { windowsOf } from "../../offchain/core/data-set/epochs.ts";
import type { DataSetAuditTerms } from "../../offchain/core/data-set/terms.ts";
import { startTallystick, tallystick } from "../../scripts/demo/command.ts";
import { programPath } from "../../scripts/programs.ts";
import { type LocalNet, startLocalNet } from "../helpers/local-net.ts";
import { newPerson, type Person, personFrom } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { type Answer, askedWord, atTerminal as runAtTerminal, shownPhrase } from "../helpers/terminal.ts";

const MIB = 1024 * 1024;
const EPOCH_BLOCKS = 60;
const ESCAPE = "\u001b";

describe("commands", () => {
  let net: LocalNet;
  let alice: Person;
  let dataId: string;
  const dir = (...names: string[]) => join(net.dir, ...names);

  before(async () => {
    net = await startLocalNet({ epochBlocks: EPOCH_BLOCKS });
    alice = await newPerson(net, "alice");
    mkdirSync(dir("files"));
    writeFileSync(dir("files", "large"), pseudoRandomBytes("large", 5 * MIB));
    writeFileSync(dir("files", "small"), "small");
  });
  after(() => net?.stop());

  describe("with --json", () => {
    /** The document of a command that succeeds. Anything beside it on stdout would not parse. */
    async function documentOf(...args: string[]): Promise<Record<string, unknown>> {
      const { exitCode, document, stderr } = await tallystick(alice, args);
      expect(exitCode, stderr).to.equal(0);
      expect(stderr, args.join(" ")).to.not.contain(ESCAPE);
      return document;
    }

    it("print one document, from put to withdrawal", async () => {
      const put = await documentOf("put", dir("files"), "--no-data-set");
      dataId = String(put.dataId);
      expect(put).to.include({ entries: 3, totalBytes: 5 * MIB + 5 });
      expect(put.dataSets).to.deep.equal([]);
      const added = await documentOf("data-set", "add", dataId, "--runway", "3");
      expect(added).to.include({ dataId });
      const [set = {}] = added.dataSets as Record<string, unknown>[];
      expect(set).to.include({ isNew: true, version: "1", addedSlices: set.slices });
      const id = String(set.id);
      const fee = BigInt(String(set.feePerEpoch));

      expect((await documentOf("ls")).puts).to.have.length(1);
      expect((await documentOf("data-set", "ls")).dataSets).to.have.length(1);
      expect(await documentOf("data-set", "show", id.slice(0, 10))).to.include({
        id,
        status: "running",
        device: "this",
      });
      const balance = await documentOf("data-set", "balance");
      expect(balance).to.include({ available: set.deposited, rate: String(fee) });
      const topped = await documentOf("data-set", "top-up", String(5n * fee));
      expect((topped.balance as { runwayEpochs: number }).runwayEpochs).to.equal(Number(balance.runwayEpochs) + 5);
      const status = await documentOf("status");
      expect(status).to.include({ account: alice.account });
      expect((status.puts as object[])[0]).to.include({ dataId, recorded: true, role: "recorder" });
      expect(await documentOf("status", dataId))
        .to.have.property("puts")
        .with.length(1);
      const { intact, audits } = await documentOf("audit");
      expect(intact).to.equal(true);
      expect((audits as object[])[0]).to.include({ mode: "private", id });
      expect((await documentOf("audit", id.slice(0, 10))).audits).to.have.length(1);
      expect(await documentOf("get", dataId, "-o", dir("out"))).to.include({ entries: 3 });
      expect((await documentOf("recover")).recovered).to.have.length(1);

      // Epoch after epoch passes in one leap, unproven: the user reports what is left to report, closes and withdraws.
      await net.provider.process.stop("SIGKILL");
      const { lastEpoch } = await documentOf("data-set", "notice", id);
      const { audit } = (await documentOf("data-set", "show", id)) as { audit: DataSetAuditTerms };
      const { graceEnd } = windowsOf({ ...audit, epochBlocks: EPOCH_BLOCKS }, Number(lastEpoch));
      await net.chain.mine(graceEnd + 1 - (await net.chain.provider.getBlockNumber()));
      expect(await documentOf("data-set", "settle", id)).to.deep.include({
        reported: [Number(lastEpoch) - 1, Number(lastEpoch)],
        closed: false,
      });
      await net.chain.mine(2 * EPOCH_BLOCKS);
      expect(await documentOf("data-set", "settle", id)).to.deep.include({ reported: [], closed: true });
      const withdrawn = await documentOf("data-set", "withdraw");
      // Compensation and bounty of two misses come on top of all that was deposited.
      expect(withdrawn).to.include({ to: alice.account });
      expect(BigInt(String(withdrawn.amount)) > BigInt(String(set.deposited)) + 5n * fee).to.equal(true);
      expect(await documentOf("data-set", "withdraw")).to.include({ amount: "0", to: alice.account });
      await net.provider.process.start();
    });

    it("name the network, on stderr and in the document", async () => {
      const { chainId, rpcUrl, contracts } = net.deployment;
      const { document, stderr } = await tallystick(alice, ["put", dir("files"), "--no-data-set"]);
      const rpcHost = new URL(rpcUrl).host;
      const escrow = contracts.storageEscrow;
      expect(document.network).to.deep.equal({ chainId, name: "development chain", rpcHost, escrow });
      expect(stderr).to.contain(`network: development chain (chain id ${chainId}) at ${rpcHost}, escrow ${escrow}`);
    });

    it("print one document with the error, and the exit code of its kind, when they are refused", async () => {
      const refusals = [
        { args: ["data-set", "show", "0xabcdef"], code: "NOT_FOUND" },
        { args: ["data-set", "notice", `0x${"ab".repeat(32)}`], code: "NOT_FOUND" },
        { args: ["data-set", "show", "one"], code: "INVALID_INPUT" },
        { args: ["data-set", "top-up", "much"], code: "INVALID_INPUT" },
        { args: ["data-set", "withdraw", "--to", "nobody"], code: "INVALID_INPUT" },
        { args: ["data-set", "withdraw", "--amount", "1"], code: "FUNDS" },
        { args: ["status", "no id"], code: "INVALID_INPUT" },
        { args: ["status", `bafkrei${"a".repeat(52)}`], code: "NOT_FOUND" },
        { args: ["audit", `bafkrei${"a".repeat(52)}`], code: "INVALID_INPUT" },
        { args: ["audit"], code: "NOT_FOUND" },
        { args: ["init"], code: "CONFLICT" },
      ] as const;
      for (const { args, code } of refusals) {
        const { exitCode, document, stderr } = await tallystick(alice, args);
        expect(document.error, args.join(" ")).to.include({ code });
        expect(exitCode, args.join(" ")).to.equal(exitCodeOf(code));
        expect(stderr, args.join(" ")).to.match(/^(tallystick: )?error: |tallystick: error: /);
      }
    });
  });

  describe("for people", () => {
    /** Runs the command at a terminal of its own, and types an answer when a prompt shows up. */
    function atTerminal(
      user: Person,
      args: readonly string[],
      answers: readonly (readonly [string, Answer])[],
      passphrase?: string,
    ) {
      const program = [process.execPath, "--disable-warning=ExperimentalWarning", programPath("tallystick")];
      return runAtTerminal([...program, ...args], answers, {
        TALLYSTICK_HOME: user.home,
        TALLYSTICK_DEPLOYMENT: net.deploymentFile,
        TALLYSTICK_PASSPHRASE: passphrase,
      });
    }

    it("asks for a new passphrase twice, shows the phrase once, and echoes no secret", async () => {
      const newcomer = { ...alice, home: dir("newcomer") };
      const passphrase = "typed at a terminal";
      const answers = [
        ["New passphrase", passphrase],
        ["Again", passphrase],
        ["Word ", askedWord],
        ["Word ", askedWord],
      ] as const;
      const { exitCode, shown } = await atTerminal(newcomer, ["init"], answers);
      expect(exitCode, shown).to.equal(0);
      expect(shown).to.not.contain(passphrase);
      expect(shownPhrase(shown)).to.have.length(24);
      const opened = await atTerminal(newcomer, ["ls"], [["Passphrase", passphrase]]);
      expect(opened.exitCode, opened.shown).to.equal(0);
      expect(opened.shown).to.contain("nothing is listed");
      const refused = await atTerminal(newcomer, ["ls"], [["Passphrase", "another"]]);
      expect(refused.exitCode, refused.shown).to.equal(exitCodeOf("WRONG_PASSPHRASE"));
    });

    it("draws a progress bar at a terminal, and none in a pipe or when told to be quiet", async () => {
      const drawn = await atTerminal(alice, ["put", dir("files"), "--no-data-set"], [], alice.passphrase);
      expect(drawn.exitCode, drawn.shown).to.equal(0);
      expect(drawn.shown).to.match(/[░█]+ \d+%/);
      expect(drawn.shown).to.contain(dataId);
      const quiet = await atTerminal(alice, ["put", dir("files"), "--no-data-set", "--quiet"], [], alice.passphrase);
      expect(quiet.shown).to.contain(dataId);
      expect(quiet.shown).to.not.match(/\d+%/);
      const piped = await startTallystick(alice, ["put", dir("files"), "--no-data-set"]).ended;
      expect(piped.exitCode, piped.stderr).to.equal(0);
      expect(piped.stdout.split("\n")[0]).to.equal(dataId);
      expect(piped.stdout + piped.stderr)
        .to.not.contain(ESCAPE)
        .and.to.not.match(/\d+%/);
    });

    it("says with three nodes gone what they and the others answered", async () => {
      await Promise.all(net.nodes.slice(0, 3).map(({ process }) => process.stop("SIGKILL")));
      const device = await personFrom(net, "device", alice.recoveryPhrase);
      const put = await startTallystick(device, ["put", dir("files"), "--no-data-set"]).ended;
      await Promise.all(net.nodes.slice(0, 3).map(({ process }) => process.start()));
      expect(put.exitCode).to.equal(exitCodeOf("QUORUM_FAILED"));
      expect(net.nodes).to.have.length(5);
      const named = (...indices: number[]) =>
        indices.map((index) => `${index} ${net.nodes[index - 1]?.url}`).join(", ");
      expect(put.stderr).to.contain(`3 key nodes (${named(1, 2, 3)}): UNREACHABLE`);
      expect(put.stderr).to.contain(`2 key nodes (${named(4, 5)}): right`);
    });
  });
});
