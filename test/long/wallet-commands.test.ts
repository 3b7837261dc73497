/** Identities that a wallet opens, through the command line: anvil signs as a wallet program, and people by hand. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect } from "chai";
import { type HDNodeWallet, TypedDataEncoder } from "ethers";
import { createIdentity, identityOpeners } from "../../offchain/agent/node/identity-store.ts";
import { exitCodeOf } from "../../offchain/cli/exit-codes.ts";
import { identityFromPhrase } from "../../offchain/core/identity/identity.ts";
import type { KeystoreMessage } from "../../offchain/core/identity/keystore-message.ts";
import { type Anvil, anvilWallet, startAnvil } from "../helpers/anvil.ts";
import { type Answer, askedWord, atTerminal } from "../helpers/terminal.ts";

const ROOT = resolve(import.meta.dirname, "..", "..");
const MAIN = [process.execPath, "--disable-warning=ExperimentalWarning", join(ROOT, "offchain", "cli", "main.ts")];
const CHEAP = { n: 2, r: 8, p: 1 };
const PASSPHRASE = "a passphrase";

/** What a hardware wallet does with a message that somebody carries to it. */
function signedBy({ signingKey }: HDNodeWallet, { domain, types, message }: KeystoreMessage): string {
  const { EIP712Domain: _domain, OpenKeystore } = types;
  const own = { OpenKeystore: OpenKeystore.map((field) => ({ ...field })) };
  return signingKey.sign(TypedDataEncoder.hash(domain, own, message)).serialized;
}

describe("identity of a wallet on the command line", function () {
  this.timeout(300_000);
  let anvil: Anvil;
  let directory: string;
  let home: string;
  const wallet = anvilWallet(2);
  const other = anvilWallet(4);

  before(async () => {
    anvil = await startAnvil();
  });
  after(async () => await anvil.kill());
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "tallystick-wallet-"));
    home = join(directory, "home");
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const environment = (extra: Record<string, string | undefined> = {}) => ({
    ...process.env,
    TALLYSTICK_HOME: home,
    TALLYSTICK_DEPLOYMENT: undefined,
    TALLYSTICK_PASSPHRASE: undefined,
    TALLYSTICK_RECOVERY_PHRASE: undefined,
    ...extra,
  });

  function run(args: readonly string[], extra: Record<string, string | undefined> = {}) {
    const [program = "", ...rest] = [...MAIN, ...args];
    const { status, stdout, stderr } = spawnSync(program, rest, {
      cwd: directory,
      encoding: "utf8",
      env: environment(extra),
      stdio: ["ignore", "pipe", "pipe"],
    });
    return { code: status, stdout, stderr };
  }

  function answerOf(args: readonly string[], extra: Record<string, string | undefined> = {}) {
    const { code, stdout, stderr } = run(["--json", ...args], extra);
    expect(code, stderr + stdout).to.equal(0);
    return JSON.parse(stdout);
  }

  function errorOf(args: readonly string[], extra: Record<string, string | undefined> = {}) {
    const { code, stdout } = run(["--json", ...args], extra);
    const { error } = JSON.parse(stdout);
    expect(code).to.equal(exitCodeOf(error.code));
    return error;
  }

  const atWallet = () => ["--wallet-url", anvil.url];
  const shown = (): { passphrase: boolean; wallets: { wallet: string; typedData: KeystoreMessage }[] } =>
    answerOf(["identity", "show"]);
  const messageShown = (): KeystoreMessage => {
    const [first] = shown().wallets;
    if (first === undefined) throw new Error("no wallet opens the keystore");
    return first.typedData;
  };

  it("is made without a passphrase, and opens by the wallet only", async () => {
    const made = answerOf(["init", "--wallet", wallet.address, ...atWallet()]);
    const { account, recoveryPhrase } = made;
    expect(identityFromPhrase(recoveryPhrase).account).to.equal(account);
    expect(answerOf(["phrase", ...atWallet()])).to.deep.equal({ account, recoveryPhrase });
    expect(answerOf(["phrase"], { TALLYSTICK_WALLET_URL: anvil.url }).account).to.equal(account);

    expect(identityOpeners(home).passphrase).to.equal(false);
    const error = errorOf(["phrase"], { TALLYSTICK_PASSPHRASE: PASSPHRASE });
    expect(error).to.include({ code: "INVALID_INPUT", check: "signature of the wallet" });
    const file = join(directory, "passphrase");
    writeFileSync(file, PASSPHRASE, { mode: 0o600 });
    expect(errorOf(["phrase", "--passphrase-file", file])).to.include({
      code: "WRONG_PASSPHRASE",
      expected: `wallet ${wallet.address}`,
    });
    expect(readdirSync(home)).to.deep.equal(["keystore.json"]);
    expect(readFileSync(join(home, "keystore.json"), "utf8")).to.not.contain(recoveryPhrase.split(" ")[0]);
  });

  it("is restored from its phrase into a keystore that the wallet opens, and no passphrase", () => {
    const { account, recoveryPhrase } = answerOf(["init"], { TALLYSTICK_PASSPHRASE: PASSPHRASE });
    const file = join(directory, "phrase");
    writeFileSync(file, recoveryPhrase, { mode: 0o600 });
    home = join(directory, "restored");
    const recover = ["recover", "--phrase-file", file, "--keystore-wallet", wallet.address, ...atWallet()];
    // The list of what is stored needs a network; the identity does not.
    expect(errorOf(recover)).to.include({ code: "NO_DEPLOYMENT" });
    const { passphrase, wallets } = identityOpeners(home);
    expect([passphrase, wallets.map((one) => one.wallet)]).to.deep.equal([false, [wallet.address]]);
    expect(answerOf(["phrase", ...atWallet()])).to.deep.equal({ account, recoveryPhrase });
    const again = errorOf(recover);
    expect(again).to.include({ code: "INVALID_INPUT", check: "options that go together", received: wallet.address });
    expect(again.hint).to.contain("identity add-wallet");
  });

  it("is not made when the wallet has no such account, or none is there", () => {
    const stranger = "0x000000000000000000000000000000000000dEaD";
    expect(errorOf(["init", "--wallet", stranger, ...atWallet()])).to.include({ code: "WRONG_WALLET" });
    const unreachable = ["--wallet-url", "http://127.0.0.1:9"];
    expect(errorOf(["init", "--wallet", wallet.address, ...unreachable]).code).to.equal("WALLET_UNAVAILABLE");
    expect(errorOf(["init", "--wallet", wallet.address]).check).to.equal("signature of the wallet");
    const file = join(directory, "secret");
    writeFileSync(file, "0x", { mode: 0o600 });
    for (const option of ["--signature-file", "--passphrase-file"]) {
      const error = errorOf(["init", "--wallet", wallet.address, option, file]);
      expect(error.check).to.equal("options that go together");
    }
    expect(existsSync(home)).to.equal(false);
  });

  it("opens with a signature, as of a hardware wallet, from a file, a descriptor or the environment", () => {
    const { account } = answerOf(["init", "--wallet", wallet.address, ...atWallet()]);
    const message = messageShown();
    expect(message.message.wallet).to.equal(wallet.address);
    const signature = signedBy(wallet, message);
    const file = join(directory, "signature");
    writeFileSync(file, `${signature}\n`, { mode: 0o600 });
    expect(answerOf(["phrase", "--signature-file", file]).account).to.equal(account);
    expect(answerOf(["phrase"], { TALLYSTICK_WALLET_SIGNATURE: signature }).account).to.equal(account);
    const line = `"$@" --signature-file <(cat ${file})`;
    const piped = spawnSync("bash", ["-c", line, "bash", ...MAIN, "phrase", "--json"], {
      cwd: directory,
      encoding: "utf8",
      env: environment(),
    });
    expect(JSON.parse(piped.stdout).account, piped.stderr).to.equal(account);

    chmodSync(file, 0o644);
    expect(errorOf(["phrase", "--signature-file", file])).to.include({ code: "INVALID_INPUT", check: "file mode" });
    const foreign = { TALLYSTICK_WALLET_SIGNATURE: signedBy(other, message) };
    const error = errorOf(["phrase"], foreign);
    expect(error).to.include({ code: "WRONG_WALLET", expected: wallet.address, received: other.address });
    const cut = errorOf(["phrase"], { TALLYSTICK_WALLET_SIGNATURE: signature.slice(0, -6) });
    expect(cut.code).to.equal("INVALID_SIGNATURE");
    expect(JSON.stringify(cut)).to.not.contain(signature.slice(2, 20));
  });

  it("is made and opened by whoever carries the message to the wallet, at a terminal", async () => {
    const inMessage: Answer = (text) => {
      const line = text.split("\n").findLast((one) => one.includes('"primaryType":"OpenKeystore"')) ?? "";
      return signedBy(wallet, JSON.parse(line));
    };
    const made = await atTerminal(
      [...MAIN, "init", "--wallet", wallet.address],
      [
        ["Signature", inMessage],
        ["Signed once more", inMessage],
        ["Word ", askedWord],
        ["Word ", askedWord],
      ],
      environment(),
      directory,
    );
    expect(made.exitCode, made.shown).to.equal(0);
    const [account] = /0x[0-9a-fA-F]{40}/.exec(/account .*/.exec(made.shown)?.[0] ?? "") ?? [];
    const opened = await atTerminal(
      [...MAIN, "phrase"],
      [["Signature of the wallet", inMessage]],
      environment(),
      directory,
    );
    expect(opened.exitCode, opened.shown).to.equal(0);
    expect(opened.shown).to.contain(account);
    // What is typed is a secret.
    expect(opened.shown).to.not.contain(signedBy(wallet, messageShown()).slice(2, 20));
  });

  it("is not made with a signature that is not by the wallet", async () => {
    const { exitCode, shown: text } = await atTerminal(
      [...MAIN, "init", "--wallet", wallet.address],
      [["Signature", `0x${"11".repeat(64)}1b`]],
      environment(),
      directory,
    );
    expect(exitCode, text).to.equal(exitCodeOf("WRONG_WALLET"));
    expect(existsSync(home)).to.equal(false);
  });

  it("gets and loses wallets and passphrases, and keeps one that works", async () => {
    const { identity } = await createIdentity(home, PASSPHRASE, undefined, CHEAP);
    const { account } = identity;
    const before = readFileSync(join(home, "keystore.json"), "utf8");
    const withPassphrase = { TALLYSTICK_PASSPHRASE: PASSPHRASE };
    expect(errorOf(["phrase", ...atWallet()]).message).to.equal("no wallet opens this keystore");
    const wrong = { TALLYSTICK_PASSPHRASE: "another" };
    const add = (who: HDNodeWallet) => ["identity", "add-wallet", who.address, "--wallet-url", anvil.url];

    // The option opens the keystore by a wallet, where one does; otherwise the passphrase does.
    expect(errorOf(add(wallet), wrong).code).to.equal("WRONG_PASSPHRASE");
    expect(readFileSync(join(home, "keystore.json"), "utf8")).to.equal(before);
    const added = answerOf(add(wallet), withPassphrase);
    expect(added).to.deep.include({ passphrase: true });
    expect(answerOf(["phrase", ...atWallet()]).account).to.equal(account);
    expect(answerOf(["phrase"], withPassphrase).account).to.equal(account);
    answerOf(add(other));
    expect(shown().wallets.map((one) => one.wallet)).to.deep.equal([wallet.address, other.address]);

    expect(errorOf(["identity", "remove-passphrase"], withPassphrase).code).to.equal("CONFLICT");
    answerOf(["identity", "remove-passphrase", ...atWallet()]);
    expect(errorOf(["phrase"], withPassphrase).check).to.equal("signature of the wallet");
    // anvil signs as the first wallet of the keystore.
    expect(errorOf(["identity", "remove-wallet", wallet.address, ...atWallet()]).code).to.equal("CONFLICT");
    answerOf(["identity", "remove-wallet", other.address, ...atWallet()]);
    expect(errorOf(["identity", "remove-wallet", wallet.address, ...atWallet()]).code).to.equal("CONFLICT");

    const renewed = answerOf(["identity", "set-passphrase", ...atWallet()], { TALLYSTICK_NEW_PASSPHRASE: "a new one" });
    expect(renewed).to.deep.include({ passphrase: true });
    expect(answerOf(["phrase"], { TALLYSTICK_PASSPHRASE: "a new one" }).account).to.equal(account);
    answerOf(["identity", "remove-wallet", wallet.address], { TALLYSTICK_PASSPHRASE: "a new one" });
    expect(shown()).to.deep.equal({ passphrase: true, wallets: [] });
    expect(readdirSync(home)).to.include("keystore.json");
    expect(readdirSync(home).filter((name) => name.includes("partial"))).to.deep.equal([]);
  });
});
