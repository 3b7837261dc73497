/**
 * An identity that a wallet opens, on a whole network: the node of the chain is the wallet program, and no passphrase
 * is ever given.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { identityFromPhrase } from "../../offchain/core/identity/identity.ts";
import type { KeystoreMessage } from "../../offchain/core/identity/keystore-message.ts";
import { type CommandUser, tallystick } from "../../scripts/demo/command.ts";
import { anvilWallet } from "../helpers/anvil.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";

describe("an identity that a wallet opens", function () {
  this.timeout(300_000);
  const wallet = anvilWallet(6);
  const content = pseudoRandomBytes("content", 200_000);
  let net: LocalNet;
  let person: CommandUser;
  let account: string;
  let recoveryPhrase: string;
  let dataId: string;

  const succeeds = async (...args: string[]): Promise<Record<string, unknown>> => {
    const { exitCode, document, stderr } = await tallystick(person, args);
    expect(exitCode, stderr + JSON.stringify(document)).to.equal(0);
    return document;
  };
  const messages = async () =>
    (await succeeds("identity", "show")) as { passphrase: boolean; wallets: { typedData: KeystoreMessage }[] };

  before(async () => {
    net = await startLocalNet(SMALL_COMMITTEE);
    const home = join(net.dir, "person");
    mkdirSync(home, { mode: 0o700 });
    writeFileSync(join(net.dir, "file"), content);
    const extra = { TALLYSTICK_WALLET_URL: net.deployment.rpcUrl };
    person = { home, deploymentFile: net.deploymentFile, passphrase: "", extra };
  });
  after(async () => await net?.stop());

  it("is made, stores and restores", async () => {
    const made = await succeeds("init", "--wallet", wallet.address);
    account = String(made.account);
    recoveryPhrase = String(made.recoveryPhrase);
    expect(identityFromPhrase(recoveryPhrase).account).to.equal(account);
    const put = await succeeds("put", join(net.dir, "file"), "--no-data-set");
    dataId = String(put.dataId);
    await succeeds("get", dataId, "-o", join(net.dir, "restored"));
    expect(Buffer.compare(readFileSync(join(net.dir, "restored", "file")), content)).to.equal(0);
  });

  it("renews the list of what is stored, and rehearses a recovery", async () => {
    expect(await succeeds("recover")).to.deep.include({ account });
    const phraseFile = join(net.dir, "phrase");
    writeFileSync(phraseFile, recoveryPhrase, { mode: 0o600 });
    const drill = await succeeds("recover", "--drill", "--phrase-file", phraseFile);
    expect(drill).to.deep.include({ account, outcome: "passed", phrase: "right" });
  });

  it("is refused to another wallet's signature", async () => {
    const lonely = { ...person, extra: { TALLYSTICK_WALLET_SIGNATURE: `0x${"11".repeat(64)}1b` } };
    const { document, exitCode } = await tallystick(lonely, ["status"]);
    expect([(document.error as { code: string }).code, exitCode]).to.deep.equal(["WRONG_WALLET", 3]);
  });

  it("is replaced by one that the same wallet opens, with the same message", async () => {
    const before = await messages();
    const shown = await succeeds("rotate");
    await succeeds("rotate", "--yes");
    const after = await messages();
    expect(after).to.deep.equal(before);
    expect(after.passphrase).to.equal(false);
    const phrase = await succeeds("phrase");
    expect(phrase.account).to.not.equal(account);
    expect(phrase.recoveryPhrase).to.equal(shown.recoveryPhrase);
    await succeeds("get", dataId, "-o", join(net.dir, "restored again"));
    expect(Buffer.compare(readFileSync(join(net.dir, "restored again", "file")), content)).to.equal(0);
  });
});
