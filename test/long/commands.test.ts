/**
 * Every command against a real network, for machines and for people: with --json one document and nothing else on
 * stdout; at a terminal prompts and a progress bar; in a pipe neither.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { exitCodeOf } from "../../offchain/cli/exit-codes.ts";
import { startTallystick, tallystick } from "../../scripts/demo/command.ts";
import { programPath } from "../../scripts/programs.ts";
import { type LocalNet, startLocalNet } from "../helpers/local-net.ts";
import { newPerson, type Person, personFrom } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { type Answer, askedWord, atTerminal as runAtTerminal, shownPhrase } from "../helpers/terminal.ts";

const MIB = 1024 * 1024;
const ESCAPE = "\u001b";

describe("commands", () => {
  let net: LocalNet;
  let alice: Person;
  let dataId: string;
  const dir = (...names: string[]) => join(net.dir, ...names);

  before(async () => {
    net = await startLocalNet();
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
      const put = await documentOf("put", dir("files"), "--no-agreement");
      dataId = String(put.dataId);
      expect(put).to.include({ entries: 3, totalBytes: 5 * MIB + 5 });
      const opened = await documentOf("agreement", "open", dataId, "--epochs", "3", "--samples", "5");
      const { agreementId } = opened;
      expect(opened).to.include({ status: "active", isNew: true, dataId });
      expect(opened.terms).to.include({ epochs: 3, sampleCount: 5 });

      expect((await documentOf("ls")).puts).to.have.length(1);
      expect((await documentOf("agreement", "ls")).agreements).to.have.length(1);
      expect(await documentOf("agreement", "show", String(agreementId))).to.include({ agreementId, status: "active" });
      const status = await documentOf("status");
      expect(status).to.include({ account: alice.account });
      expect((status.puts as object[])[0]).to.include({ dataId, recorded: true, role: "recorder" });
      expect(await documentOf("status", dataId))
        .to.have.property("puts")
        .with.length(1);
      expect(await documentOf("audit", dataId)).to.include({ intact: true, mode: "private" });
      expect(await documentOf("get", dataId, "-o", dir("out"))).to.include({ entries: 3 });
      expect((await documentOf("recover")).recovered).to.have.length(1);

      // Epoch after epoch passes in one leap, unproven: the user settles and withdraws before the provider winds up.
      await net.provider.process.stop("SIGKILL");
      await net.chain.mine(200);
      const settled = await documentOf("agreement", "settle", String(agreementId));
      expect(settled).to.deep.include({ reported: [0, 1, 2] });
      const withdrawn = await documentOf("agreement", "withdraw");
      expect(withdrawn).to.include({ amount: settled.credit, to: alice.account });
      expect(BigInt(String(withdrawn.amount)) > 0n).to.equal(true);
      expect(await documentOf("agreement", "withdraw")).to.include({ amount: "0", to: alice.account });
      await net.provider.process.start();
    });

    it("name the network, on stderr and in the document", async () => {
      const { chainId, rpcUrl, contracts } = net.deployment;
      const { document, stderr } = await tallystick(alice, ["put", dir("files"), "--no-agreement"]);
      const rpcHost = new URL(rpcUrl).host;
      const escrow = contracts.storageEscrow;
      expect(document.network).to.deep.equal({ chainId, name: "development chain", rpcHost, escrow });
      expect(stderr).to.contain(`network: development chain (chain id ${chainId}) at ${rpcHost}, escrow ${escrow}`);
    });

    it("print one document with the error, and the exit code of its kind, when they are refused", async () => {
      const refusals = [
        { args: ["agreement", "cancel", "1"], code: "CONFLICT" },
        { args: ["agreement", "show", "99"], code: "NOT_FOUND" },
        { args: ["agreement", "show", "one"], code: "INVALID_INPUT" },
        { args: ["agreement", "withdraw", "--to", "nobody"], code: "INVALID_INPUT" },
        { args: ["status", "no id"], code: "INVALID_INPUT" },
        { args: ["status", `bafkrei${"a".repeat(52)}`], code: "NOT_FOUND" },
        { args: ["audit", `bafkrei${"a".repeat(52)}`], code: "NOT_FOUND" },
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
      const drawn = await atTerminal(alice, ["put", dir("files"), "--no-agreement"], [], alice.passphrase);
      expect(drawn.exitCode, drawn.shown).to.equal(0);
      expect(drawn.shown).to.match(/[░█]+ \d+%/);
      expect(drawn.shown).to.contain(dataId);
      const quiet = await atTerminal(alice, ["put", dir("files"), "--no-agreement", "--quiet"], [], alice.passphrase);
      expect(quiet.shown).to.contain(dataId);
      expect(quiet.shown).to.not.match(/\d+%/);
      const piped = await startTallystick(alice, ["put", dir("files"), "--no-agreement"]).ended;
      expect(piped.exitCode, piped.stderr).to.equal(0);
      expect(piped.stdout.split("\n")[0]).to.equal(dataId);
      expect(piped.stdout + piped.stderr)
        .to.not.contain(ESCAPE)
        .and.to.not.match(/\d+%/);
    });

    it("says with three nodes gone what each of them answered", async () => {
      await Promise.all(net.nodes.slice(0, 3).map(({ process }) => process.stop("SIGKILL")));
      const device = await personFrom(net, "device", alice.recoveryPhrase);
      const put = await startTallystick(device, ["put", dir("files"), "--no-agreement"]).ended;
      await Promise.all(net.nodes.slice(0, 3).map(({ process }) => process.start()));
      expect(put.exitCode).to.equal(exitCodeOf("QUORUM_FAILED"));
      for (const [position, { url }] of net.nodes.entries()) {
        const answer = position < 3 ? "UNREACHABLE" : "right";
        expect(put.stderr).to.contain(`node ${position + 1} ${url}: ${answer}`);
      }
    });
  });
});
