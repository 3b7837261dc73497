/** The identity in a page: made once, opened with its passphrase, never overwritten. */

import { expect } from "chai";
import {
  addIdentityOpener,
  createIdentity,
  eip1193Signer,
  hasIdentity,
  identityOpeners,
  loadIdentity,
  openAgent,
  removeIdentityOpener,
} from "../../offchain/agent/browser/index.ts";
import { PageStore } from "../../offchain/agent/browser/page-store.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import { type KeystoreMessage, keystoreDigest } from "../../offchain/core/identity/keystore-message.ts";
import { openByWallet, setUpWallet } from "../../offchain/core/identity/wallet-signature.ts";
import { anvilWallet } from "../helpers/anvil.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";
import { freshName } from "./page-store.ts";

const CHEAP = { n: 2, r: 8, p: 1 };

describe("identity in a page", () => {
  let name: string;
  beforeEach(() => {
    name = freshName();
  });

  it("is sealed, and opens with its passphrase only", async () => {
    expect(await hasIdentity(name)).to.equal(false);
    const { identity, phrase } = await createIdentity(name, "correct horse", undefined, CHEAP);
    expect(phrase?.split(" ")).to.have.length(24);
    expect(await hasIdentity(name)).to.equal(true);
    expect((await loadIdentity(name, "correct horse")).account).to.equal(identity.account);
    await expectAsyncRejection(() => loadIdentity(name, "wrong horse"), "WRONG_PASSPHRASE");
    const store = await PageStore.open(name);
    const kept = await store.read(["keystore"], (transaction) => transaction.objectStore("keystore").getAll());
    store.close();
    expect(JSON.stringify(kept)).to.not.contain(Buffer.from(identity.phraseEntropy).toString("hex"));
  });

  it("opens with a wallet of the page, beside a passphrase or without one", async () => {
    const wallet = anvilWallet(0);
    const asked: string[] = [];
    const signer = eip1193Signer({
      request: async ({ method, params }) => {
        asked.push(method);
        if (method === "eth_requestAccounts") return [wallet.address.toLowerCase()];
        const [, text] = params as [string, string];
        return wallet.signingKey.sign(keystoreDigest((JSON.parse(text) as KeystoreMessage).message)).serialized;
      },
    });
    const key = await setUpWallet(signer);
    const { identity } = await createIdentity(name, key);
    const signing = "eth_signTypedData_v4";
    expect(asked).to.deep.equal(["eth_requestAccounts", signing, signing]);
    const { passphrase, wallets } = await identityOpeners(name);
    expect([passphrase, wallets.length]).to.deep.equal([false, 1]);
    expect((await loadIdentity(name, await openByWallet(wallets, signer))).account).to.equal(identity.account);
    await expectAsyncRejection(() => loadIdentity(name, "a passphrase"), "WRONG_PASSPHRASE");

    expect(await addIdentityOpener(name, key, "a passphrase", CHEAP)).to.deep.equal({ passphrase: true, wallets });
    expect((await loadIdentity(name, "a passphrase")).account).to.equal(identity.account);
    await expectAsyncRejection(() => removeIdentityOpener(name, key, wallet.address), "CONFLICT");
    expect(await removeIdentityOpener(name, "a passphrase", wallet.address)).to.deep.equal({
      passphrase: true,
      wallets: [],
    });
    await expectAsyncRejection(() => loadIdentity(name, key), "WRONG_WALLET");
  });

  it("keeps the change of one of two tabs that change what opens it at once, and tells the other", async () => {
    await createIdentity(name, "one", undefined, CHEAP);
    const changes = await Promise.allSettled([
      addIdentityOpener(name, "one", "two", CHEAP),
      addIdentityOpener(name, "one", "three", CHEAP),
    ]);
    expect(changes.map(({ status }) => status)).to.have.members(["fulfilled", "rejected"]);
    const [reason] = changes.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
    expect(reason).to.be.instanceOf(TallystickError).with.property("code", "CONFLICT");
    expect((await loadIdentity(name, changes[0].status === "fulfilled" ? "two" : "three")).account).to.match(/^0x/);
  });

  it("comes back from its phrase in another store", async () => {
    const { identity, phrase } = await createIdentity(name, "one", undefined, CHEAP);
    const restored = await createIdentity(freshName(), "two", phrase, CHEAP);
    expect(restored.phrase).to.equal(undefined);
    expect(restored.identity.account).to.equal(identity.account);
  });

  it("is never overwritten, not even by a tab that makes one at the same time", async () => {
    const made = await Promise.allSettled([
      createIdentity(name, "one", undefined, CHEAP),
      createIdentity(name, "two", undefined, CHEAP),
    ]);
    expect(made.map(({ status }) => status)).to.have.members(["fulfilled", "rejected"]);
    const [reason] = made.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
    expect(reason).to.be.instanceOf(TallystickError).with.property("code", "CONFLICT");
    const winner = made[0].status === "fulfilled" ? "one" : "two";
    await expectAsyncRejection(() => createIdentity(name, "three", undefined, CHEAP), "CONFLICT");
    expect((await loadIdentity(name, winner)).account).to.match(/^0x/);
  });

  it("leaves nothing behind when the phrase or the passphrase is wrong", async () => {
    await expectAsyncRejection(() => createIdentity(name, "", undefined, CHEAP), "INVALID_INPUT");
    await expectAsyncRejection(() => createIdentity(name, "one", "not a phrase", CHEAP), "INVALID_INPUT");
    expect(await hasIdentity(name)).to.equal(false);
    await expectAsyncRejection(() => loadIdentity(name, "one"), "NO_IDENTITY");
  });

  it("owns its store: another identity cannot open the catalogue", async () => {
    const { identity } = await createIdentity(name, "one", undefined, CHEAP);
    const agent = await openAgent({ identity, name });
    expect(await agent.list()).to.deep.equal([]);
    await agent.close();
    await expectAsyncRejection(() => agent.list(), "DISK_FAILED");
    const { identity: stranger } = await createIdentity(freshName(), "one", undefined, CHEAP);
    const { close } = IDBDatabase.prototype;
    let closed = 0;
    IDBDatabase.prototype.close = function () {
      closed += 1;
      close.call(this);
    };
    try {
      await expectAsyncRejection(() => openAgent({ identity: stranger, name }), "CONFLICT");
    } finally {
      IDBDatabase.prototype.close = close;
    }
    expect(closed, "connections closed after the failure").to.equal(1);
  });
});
