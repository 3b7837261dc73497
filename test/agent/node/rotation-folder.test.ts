import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { addIdentityOpener, removeIdentityOpener } from "../../../offchain/agent/node/identity-openers.ts";
import { createIdentity, identityOpeners, loadIdentity } from "../../../offchain/agent/node/identity-store.ts";
import {
  exchangedAccount,
  exchangeFiles,
  hasRotation,
  openRotation,
  replacedFolder,
  rotationFolder,
} from "../../../offchain/agent/node/rotation-folder.ts";
import { keystoreDigest } from "../../../offchain/core/identity/keystore-message.ts";
import { openByWallet, setUpWallet, type WalletSigner } from "../../../offchain/core/identity/wallet-signature.ts";
import { anvilWallet } from "../../helpers/anvil.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const COST = { n: 2, r: 8, p: 1 };
const PASSPHRASE = "passphrase";

describe("the files of a rotation", () => {
  let home: string;
  let account: string;
  let successor: string;

  beforeEach(async () => {
    home = mkdtempSync(join(tmpdir(), "tallystick-rotation-"));
    account = (await createIdentity(home, PASSPHRASE, undefined, COST)).identity.account;
    writeFileSync(join(home, "agent.db"), "old database");
    writeFileSync(join(home, "files.db"), "old cache");
    successor = (await openRotation(home, PASSPHRASE, COST)).account;
    writeFileSync(join(rotationFolder(home), "agent.db"), "new database");
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  const expectExchanged = async () => {
    expect((await loadIdentity(home, PASSPHRASE)).account).to.equal(successor);
    expect(readFileSync(join(home, "agent.db"), "utf8")).to.equal("new database");
    expect(existsSync(join(home, "files.db"))).to.equal(false);
    const old = replacedFolder(home, account);
    expect(readdirSync(old).sort()).to.deep.equal(["agent.db", "keystore.json"]);
    expect(readFileSync(join(old, "agent.db"), "utf8")).to.equal("old database");
    expect((await loadIdentity(old, PASSPHRASE)).account).to.equal(account);
    expect(existsSync(rotationFolder(home))).to.equal(false);
    expect([hasRotation(home), exchangedAccount(home)]).to.deep.equal([false, undefined]);
  };

  it("make one successor, whichever run asks, under the passphrase of the identity", async () => {
    expect(successor).to.not.equal(account);
    expect((await openRotation(home, PASSPHRASE, COST)).account).to.equal(successor);
    await expectAsyncRejection(() => openRotation(home, "another", COST), "WRONG_PASSPHRASE");
    expect((await loadIdentity(home, PASSPHRASE)).account, "until the exchange").to.equal(account);
  });

  let signatures = 0;
  const wallet = anvilWallet(0);
  const signer: WalletSigner = {
    accounts: () => Promise.resolve([wallet.address]),
    sign: async (_account, { message }) => {
      signatures += 1;
      return wallet.signingKey.sign(keystoreDigest(message)).serialized;
    },
  };

  it("are sealed for the wallet that opens the identity, without asking it again", async () => {
    signatures = 0;
    const other = join(home, "other");
    const key = await setUpWallet(signer);
    const old = (await createIdentity(other, key)).identity.account;
    const next = (await openRotation(other, key)).account;
    expect(next).to.not.equal(old);
    await exchangeFiles(other, old);
    const { passphrase, wallets } = identityOpeners(other);
    expect([passphrase, signatures]).to.deep.equal([false, 2]);
    expect((await loadIdentity(other, await openByWallet(wallets, signer))).account).to.equal(next);
    expect((await loadIdentity(replacedFolder(other, old), key)).account).to.equal(old);
    await expectAsyncRejection(() => openRotation(home, key), "WRONG_WALLET");
  });

  it("keep what the rotation was begun with as an opener of the identity until it is finished", async () => {
    const key = await setUpWallet(signer);
    await addIdentityOpener(home, PASSPHRASE, key, COST);
    // A passphrase that others know by now would go on opening the identity that is to come.
    const changed = await expectAsyncRejection(() => addIdentityOpener(home, PASSPHRASE, "another", COST), "CONFLICT");
    expect(changed).to.include({ check: "rotation in the home folder", received: "passphrase" });
    await expectAsyncRejection(() => removeIdentityOpener(home, key, "passphrase"), "CONFLICT");
    expect((await openRotation(home, PASSPHRASE, COST)).account).to.equal(successor);
    await removeIdentityOpener(home, PASSPHRASE, key.wallet);
    await exchangeFiles(home, account);
    await addIdentityOpener(home, PASSPHRASE, "another", COST);
    await expectAsyncRejection(() => loadIdentity(home, PASSPHRASE), "WRONG_PASSPHRASE");
    expect((await loadIdentity(home, "another")).account).to.equal(successor);
  });

  it("are not made with what opens the identity no more", async () => {
    const other = join(home, "other");
    await createIdentity(other, PASSPHRASE, undefined, COST);
    await addIdentityOpener(other, PASSPHRASE, "another", COST);
    await expectAsyncRejection(() => openRotation(other, PASSPHRASE, COST), "WRONG_PASSPHRASE");
    expect(hasRotation(other)).to.equal(false);
  });

  it("are not overwritten by a change of what opens the identity that is under way", async () => {
    const changed = addIdentityOpener(home, PASSPHRASE, await setUpWallet(signer), COST);
    await Promise.all([changed, exchangeFiles(home, account)]);
    await expectExchanged();
  });

  it("let nobody change what opens the identity once their exchange has begun", async () => {
    const key = await setUpWallet(signer);
    writeFileSync(join(rotationFolder(home), "exchanging"), `${account}\n`);
    await expectAsyncRejection(() => addIdentityOpener(home, PASSPHRASE, key, COST), "CONFLICT");
  });

  it("take their places, and the old ones are kept", async () => {
    expect(await exchangeFiles(home, account)).to.equal(replacedFolder(home, account));
    await expectExchanged();
  });

  /** What an exchange does, in its order: a process is killed after any number of these. */
  const steps: (() => void)[] = [
    () => writeFileSync(join(rotationFolder(home), "exchanging"), `${account}\n`),
    () => mkdirSync(replacedFolder(home, account), { recursive: true }),
    () => linkSync(join(home, "keystore.json"), join(replacedFolder(home, account), "keystore.json")),
    () => renameSync(join(home, "agent.db"), join(replacedFolder(home, account), "agent.db")),
    () => renameSync(join(rotationFolder(home), "agent.db"), join(home, "agent.db")),
    () => rmSync(join(home, "files.db")),
    () => renameSync(join(rotationFolder(home), "keystore.json"), join(home, "keystore.json")),
  ];
  it("keep the old database when a command of the old account has begun another one in between", async () => {
    for (const step of steps.slice(0, 4)) step();
    writeFileSync(join(home, "agent.db"), "begun in between");
    await exchangeFiles(home, account);
    await expectExchanged();
  });

  for (let done = 1; done <= steps.length; done += 1) {
    it(`are exchanged by the next run when one is killed after step ${done} of ${steps.length}`, async () => {
      for (const step of steps.slice(0, done)) step();
      expect(exchangedAccount(home)).to.equal(account);
      await exchangeFiles(home, account);
      await expectExchanged();
    });
  }
});
