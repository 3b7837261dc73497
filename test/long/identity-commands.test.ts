/** No identity without its recovery phrase: it counts once the phrase was written, and on a terminal confirmed. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect } from "chai";
import { createIdentity } from "../../offchain/agent/node/identity-store.ts";
import { EXIT, exitCodeOf } from "../../offchain/cli/exit-codes.ts";
import { identityFromPhrase, newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import { type Answer, askedWord, atTerminal, CTRL_D, shownPhrase } from "../helpers/terminal.ts";

const ROOT = resolve(import.meta.dirname, "..", "..");
const MAIN = [process.execPath, "--disable-warning=ExperimentalWarning", join(ROOT, "offchain", "cli", "main.ts")];
const CHEAP = { n: 2, r: 8, p: 1 };
const PASSPHRASE = "a passphrase";

describe("identity on the command line", () => {
  let directory: string;
  let home: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "tallystick-identity-"));
    home = join(directory, "home");
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const environment = (extra: Record<string, string | undefined> = {}) => ({
    ...process.env,
    TALLYSTICK_HOME: home,
    TALLYSTICK_DEPLOYMENT: undefined,
    TALLYSTICK_PASSPHRASE: PASSPHRASE,
    TALLYSTICK_RECOVERY_PHRASE: undefined,
    ...extra,
  });

  function run(args: readonly string[], extra: Record<string, string> = {}) {
    const [program = "", ...rest] = [...MAIN, ...args];
    const { status, stdout, stderr } = spawnSync(program, rest, {
      cwd: directory,
      encoding: "utf8",
      env: environment(extra),
    });
    return { code: status, stdout, stderr };
  }

  /** A shell line in which `$@` is the command. */
  function shell(line: string, args: readonly string[]) {
    const words = ["-c", line, "bash", ...MAIN, ...args];
    return spawnSync("bash", words, { cwd: directory, encoding: "utf8", env: environment() });
  }

  const leftInHome = () => (existsSync(home) ? readdirSync(home) : []);

  // biome-ignore lint/suspicious/noTemplateCurlyInString: bash expands it
  const NOBODY_READS = '"$@" | true; exit "${PIPESTATUS[0]}"';
  for (const [where, line, received] of [
    ["on a full disk", '"$@" > /dev/full', "ENOSPC"],
    ["that nobody reads", NOBODY_READS, "EPIPE"],
  ] as const) {
    it(`keeps no identity when the phrase goes to an output ${where}`, () => {
      const { status, stdout, stderr } = shell(line, received === "EPIPE" ? ["init", "--json"] : ["init"]);
      expect(status, stderr).to.equal(EXIT.local);
      expect(stdout).to.equal("");
      expect(stderr).to.contain("tallystick: error: the output cannot be written").and.to.contain(received);
      expect(stderr).to.not.match(/^ +at /m);
      expect(leftInHome()).to.deep.equal([]);
    });
  }

  it("shows the phrase again to whoever has the passphrase", async () => {
    const recoveryPhrase = newRecoveryPhrase();
    const { identity } = await createIdentity(home, PASSPHRASE, recoveryPhrase, CHEAP);
    const again = run(["phrase", "--json"]);
    expect(again.code, again.stderr).to.equal(0);
    expect(JSON.parse(again.stdout)).to.deep.equal({ account: identity.account, recoveryPhrase });
    expect(shownPhrase(run(["phrase"]).stdout).join(" ")).to.equal(recoveryPhrase);
    expect(run(["phrase"], { TALLYSTICK_PASSPHRASE: "another" }).code).to.equal(exitCodeOf("WRONG_PASSPHRASE"));
  });

  it("asks on a terminal for words of the phrase, and keeps the identity when they are right", async () => {
    const { exitCode, shown } = await atTerminal(
      [...MAIN, "init"],
      [
        ["Word ", "wrong"],
        ["Word ", askedWord],
        ["Word ", askedWord],
      ],
      environment(),
      directory,
    );
    expect(exitCode, shown).to.equal(0);
    expect(shown).to.contain("You will be asked for 2 of these words now.");
    expect(shown)
      .to.match(/^ {3}1 [a-z]+ +2 [a-z]+ .* 6 [a-z]+\r?$/m)
      .and.to.match(/^ {2}19 [a-z]+ .*24 [a-z]+\r?$/m);
    expect(shown).to.contain("that is not the word at this place");
    expect(leftInHome()).to.deep.equal(["keystore.json"]);
    const account = /account +(0x[0-9a-fA-F]{40})/.exec(shown)?.[1];
    expect(identityFromPhrase(shownPhrase(shown).join(" ")).account).to.equal(account);
  });

  it("asks for a new passphrase again when its repetition differs, three times in all", async () => {
    const attempt = (again: string): [string, string][] => [
      ["New passphrase", PASSPHRASE],
      ["Again", again],
    ];
    const atInit = (answers: [string, Answer][]) =>
      atTerminal([...MAIN, "init"], answers, environment({ TALLYSTICK_PASSPHRASE: undefined }), directory);
    const never = await atInit([...attempt("one"), ...attempt("two"), ...attempt("three")]);
    expect(never.exitCode, never.shown).to.equal(exitCodeOf("INVALID_INPUT"));
    expect(leftInHome()).to.deep.equal([]);
    const second = await atInit([
      ...attempt("one"),
      ...attempt(PASSPHRASE),
      ["Word ", askedWord],
      ["Word ", askedWord],
    ]);
    expect(second.exitCode, second.shown).to.equal(0);
    expect(second.shown).to.contain("the two passphrases differ; type the new passphrase again");
    expect(leftInHome()).to.deep.equal(["keystore.json"]);
  });

  for (const prompt of ["New passphrase", "Word "]) {
    it(`ends plainly at Ctrl-D when asked for "${prompt.trim()}", and keeps nothing`, async () => {
      const asked: [string, string][] = [
        ["New passphrase", PASSPHRASE],
        ["Again", PASSPHRASE],
        ["Word ", CTRL_D],
      ];
      const answers = asked.map(([text, answer]): [string, string] => [text, text === prompt ? CTRL_D : answer]);
      const withoutPassphrase = environment({ TALLYSTICK_PASSPHRASE: undefined });
      const { exitCode, shown } = await atTerminal([...MAIN, "init"], answers, withoutPassphrase, directory);
      expect(exitCode, shown).to.equal(EXIT.interrupted);
      expect(shown).to.contain("tallystick: error: interrupted").and.to.not.contain("unsettled");
      expect(leftInHome()).to.deep.equal([]);
    });
  }

  it("reads the phrase in the rows in which init shows it, and shows none of its words", async () => {
    const words = newRecoveryPhrase().split(" ");
    const numbered = words.map((word, place) => `${place + 1} ${word}`);
    const rows = [0, 6, 12, 18].map((first) => numbered.slice(first, first + 6).join("  "));
    const { exitCode, shown } = await atTerminal(
      [...MAIN, "recover"],
      [["24 words, in one line or several", rows.join("\r")]],
      environment(),
      directory,
    );
    // There is no deployment to recover from; the phrase was accepted before that was noticed.
    expect(exitCode, shown).to.equal(exitCodeOf("NO_DEPLOYMENT"));
    for (const word of words.filter((one) => one.length > 5)) expect(shown).to.not.contain(word);
  });

  describe("that exists, when recover is given a phrase", () => {
    let own: string;
    let deployment: string;

    beforeEach(async () => {
      own = newRecoveryPhrase();
      await createIdentity(home, PASSPHRASE, own, CHEAP);
      deployment = join(directory, "deployment.json");
      const address = `0x${"1".repeat(40)}`;
      const contracts = {
        nodeRegistry: address,
        keyLedger: address,
        storageEscrow: address,
        possessionVerifier: address,
        randomness: address,
        ownersPolicy: address,
        recoveryPolicy: address,
        accountDirectory: address,
      };
      const document = {
        version: 1,
        chainId: 31337,
        rpcUrl: "http://127.0.0.1:9",
        deployedAtBlock: 0,
        committeeId: "1",
      };
      writeFileSync(deployment, JSON.stringify({ ...document, contracts, providers: [] }));
    });

    const recover = (phrase: string) =>
      run(["recover", "--json", "--deployment", deployment], { TALLYSTICK_RECOVERY_PHRASE: phrase });

    it("refuses one that is none, and lists nothing", () => {
      const { code, stdout } = recover("not a phrase");
      expect(JSON.parse(stdout).error).to.include({ code: "INVALID_INPUT" });
      expect(code).to.equal(exitCodeOf("INVALID_INPUT"));
    });

    it("refuses another identity's, naming both accounts, before the network is asked", () => {
      const other = newRecoveryPhrase();
      const { code, stdout, stderr } = recover(other);
      const accounts = { expected: identityFromPhrase(own).account, received: identityFromPhrase(other).account };
      expect(JSON.parse(stdout).error).to.include({ code: "CONFLICT", ...accounts });
      expect(code).to.equal(exitCodeOf("CONFLICT"));
      expect(stderr).to.not.contain("network:");
    });

    it("goes on with its own", () => {
      // Also as `init --json` has printed it.
      for (const text of [own.toUpperCase(), JSON.stringify({ account: "0x1", recoveryPhrase: own }, undefined, 2)]) {
        const { code, stdout } = recover(text);
        expect(JSON.parse(stdout).error).to.include({ code: "CHAIN_UNAVAILABLE" });
        expect(code).to.equal(exitCodeOf("CHAIN_UNAVAILABLE"));
      }
    });
  });

  it("says so when a recovery phrase has another number of words than `init` makes", () => {
    const wallet = `${"abandon ".repeat(11)}about`;
    const remark = "this phrase has 12 words, and `tallystick init` makes 24";
    expect(run(["recover"], { TALLYSTICK_RECOVERY_PHRASE: wallet }).stderr).to.contain(remark);
    rmSync(home, { recursive: true });
    expect(run(["recover"], { TALLYSTICK_RECOVERY_PHRASE: newRecoveryPhrase() }).stderr).to.not.contain("words");
    rmSync(home, { recursive: true });
    const short = run(["recover"], { TALLYSTICK_RECOVERY_PHRASE: "abandon ".repeat(23) });
    expect([short.code, leftInHome()]).to.deep.equal([EXIT.usage, []]);
    expect(short.stderr).to.contain("expected 24 words; received 23 words");
  });
});
