import { expect } from "chai";
import { Wallet } from "ethers";
import { reviewDealing } from "../../../offchain/core/committee/complaint.ts";
import { dealShares } from "../../../offchain/core/committee/dealing.ts";
import { CommitteeFaultError } from "../../../offchain/core/committee/fault.ts";
import { announceMember, type RunMembers } from "../../../offchain/core/committee/receiving.ts";
import { CommitteeRun } from "../../../offchain/core/committee/run.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { InvalidSignatureError } from "../../../offchain/core/errors.ts";
import { oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import { createLogger } from "../../../offchain/daemon/logger.ts";
import { Bulletin } from "../../../offchain/nbm/generations/bulletin.ts";
import { Exchange } from "../../../offchain/nbm/generations/exchange.ts";
import { GenerationStore } from "../../../offchain/nbm/generations/generation-store.ts";
import { partiesHash, type RunParties } from "../../../offchain/nbm/generations/run-parties.ts";
import { type RunMessageName, runMessage, signMessage } from "../../../offchain/nbm/generations/signed-messages.ts";
import { SecretBox } from "../../../offchain/nbm/secret-box.ts";
import { NBM_MIGRATIONS } from "../../../offchain/nbm/tables.ts";
import { openDatabase } from "../../../offchain/store/index/sqlite.ts";
import { at } from "../../helpers/committee-run.ts";
import { deceive } from "../../helpers/dishonest-dealer.ts";
import { serveHandler } from "../../helpers/http-server.ts";

const ID = { committeeId: 7n, generation: 1 };
const REGISTRY = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
/** Behind the head of a complaint and its dealer. */
const DEALING_HASH_AT = 51 + 2;

function flipped(bytes: Uint8Array, offset: number): Uint8Array {
  return bytes.with(offset, (bytes[offset] ?? 0) ^ 1);
}

describe("messages of a run that a node keeps", () => {
  before(oprfReady);

  async function prepared() {
    const scope = { chainId: 31337n, registry: REGISTRY, committeeId: ID.committeeId };
    const run = new CommitteeRun({ ...scope, generation: ID.generation, size: 3, threshold: 2 });
    const wallets = [1, 2, 3].map(() => new Wallet(toHex(crypto.getRandomValues(new Uint8Array(32)))));
    const members = wallets.map(({ address }, at) => ({
      index: at + 1,
      operator: address,
      url: "",
      hpkePublicKey: new Uint8Array(),
      stakeWei: 1n,
      exitAt: 0,
    }));
    const parties: RunParties = { run, members, dealers: members };
    const box = new SecretBox(new Uint8Array(32).fill(1));
    const store = new GenerationStore(openDatabase(":memory:", { migrations: NBM_MIGRATIONS }), box);
    store.begin({ ...ID, from: 0, size: 3, threshold: 2, partiesHash: partiesHash(parties), index: 0, dealer: 0 });
    const bulletin = new Bulletin(store, ID, parties);
    const text = async (by: number, name: RunMessageName, bytes: Uint8Array) => ({
      ...name,
      message: toHex(bytes),
      signature: await signMessage(wallets[by - 1] as Wallet, runMessage(parties, name, bytes)),
    });
    const secrets: Uint8Array[] = [];
    for (const sender of [1, 2, 3]) {
      const { announcement, secret } = announceMember(run, sender);
      secrets.push(secret);
      expect(bulletin.accept(await text(sender, { kind: "announcement", sender }, announcement))).to.equal(true);
    }
    const announced = bulletin.members() as RunMembers;
    return { parties, store, bulletin, text, announced, secrets };
  }

  /** Dealer 1 seals a wrong share to member 2, and member 2 complains. */
  async function wronged() {
    const run = await prepared();
    const { bulletin, text, announced, secrets } = run;
    const sharesFor = (member: number, shares: Uint8Array[]) =>
      member === 2 ? shares.map((share) => flipped(share, 3)) : shares;
    const dealing = deceive(announced, 1, { sharesFor });
    expect(bulletin.accept(await text(1, { kind: "dealing", sender: 1 }, dealing))).to.equal(true);
    const complaint = reviewDealing(announced, 2, at(secrets, 1), 1, dealing);
    if (complaint === undefined) throw new Error("nothing to complain about");
    return { ...run, complaint };
  }
  const BY_2 = { kind: "complaint", sender: 2 } as const;

  it("include an honest dealing whose bytes another party has signed as its own before", async () => {
    const { bulletin, text, announced } = await prepared();
    const dealing = dealShares(announced, 1);
    expect(bulletin.accept(await text(3, { kind: "dealing", sender: 3 }, dealing))).to.equal(true);
    expect(bulletin.accept(await text(1, { kind: "dealing", sender: 1 }, dealing))).to.equal(true);
    expect(bulletin.of("dealing").map(({ sender }) => sender)).to.deep.equal([1, 3]);
    expect(new Set(bulletin.known()).size).to.equal(5);
  });

  it("include one that was named, unsigned, as the third of somebody else", async () => {
    const { bulletin, text, announced } = await prepared();
    const third = { kind: "dealing", sender: 3 } as const;
    for (let i = 0; i < 2; i++) bulletin.accept(await text(3, third, dealShares(announced, 3)));
    const dealing = dealShares(announced, 1);
    const signature = `0x${"11".repeat(65)}`;
    expect(bulletin.accept({ ...third, message: toHex(dealing), signature })).to.equal(false);
    expect(bulletin.accept(await text(1, { kind: "dealing", sender: 1 }, dealing))).to.equal(true);
  });

  it("include one that somebody showed with a wrong signature before", async () => {
    const { bulletin, text, announced } = await prepared();
    const name = { kind: "dealing", sender: 1 } as const;
    const dealing = dealShares(announced, 1);
    const wrong = await text(3, name, dealing);
    expect(() => bulletin.accept(wrong)).to.throw(InvalidSignatureError, "dealer 1");
    expect(bulletin.accept(await text(1, name, dealing))).to.equal(true);
  });

  it("are two of a kind from one sender at most, and on disk", async () => {
    const { store, bulletin, text, announced } = await prepared();
    const name = { kind: "dealing", sender: 3 } as const;
    const kept: boolean[] = [];
    for (let i = 0; i < 4; i++) kept.push(bulletin.accept(await text(3, name, dealShares(announced, 3))));
    expect(kept).to.deep.equal([true, true, false, false]);
    expect(store.messages(ID).filter(({ kind }) => kind === "dealing")).to.have.length(2);
  });

  it("include one founded complaint about a dealer, and no second one", async () => {
    const { store, bulletin, text, complaint, announced, secrets } = await wronged();
    expect(bulletin.accept(await text(2, BY_2, complaint))).to.equal(true);
    expect(store.messages(ID).at(-1)).to.include({ kind: "complaint", sender: 2, about: 1 });
    // Another proof of the same, which is not looked at: not even who signed it.
    const again = reviewDealing(announced, 2, at(secrets, 1), 1, at(bulletin.of("dealing"), 0).bytes) as Uint8Array;
    expect(toHex(again)).not.to.equal(toHex(complaint));
    expect(bulletin.accept(await text(3, BY_2, again))).to.equal(false);
    expect(bulletin.of("complaint")).to.have.length(1);
  });

  it("do not include a complaint that is not founded, which names its sender and is judged once", async () => {
    const { bulletin, text, complaint } = await wronged();
    const unfounded = await text(2, BY_2, flipped(complaint, complaint.length - 40));
    expect(() => bulletin.accept(unfounded)).to.throw(CommitteeFaultError, /^member 2 sent a bad complaint/);
    expect(bulletin.accept(unfounded)).to.equal(false);
    const malformed = await text(2, BY_2, complaint.slice(1));
    expect(() => bulletin.accept(malformed)).to.throw(CommitteeFaultError, /^member 2/);
    expect(bulletin.of("complaint")).to.have.length(0);
    // What a member did wrong takes nothing from a complaint that proves itself: others have it, so it must be kept.
    expect(bulletin.accept(await text(2, BY_2, complaint))).to.equal(true);
  });

  it("wait for the dealing that a complaint names before anything else is looked at", async () => {
    const { bulletin, text, complaint } = await wronged();
    const other = await text(2, BY_2, flipped(complaint, DEALING_HASH_AT));
    expect(bulletin.accept({ ...other, signature: `0x${"11".repeat(65)}` })).to.equal(false);
    const unsigned = { ...(await text(2, BY_2, complaint)), signature: other.signature };
    expect(() => bulletin.accept(unsigned)).to.throw(InvalidSignatureError, "member 2");
  });

  it("come from a party that passes on unfounded complaints after ever longer pauses only", async () => {
    const { parties, bulletin, text, announced, complaint } = await wronged();
    const unfounded = [40, 41, 42].map((offset) => flipped(complaint, complaint.length - offset));
    const lies = await Promise.all(unfounded.map((bytes) => text(2, BY_2, bytes)));
    const dealing = await text(3, { kind: "dealing", sender: 3 }, dealShares(announced, 3));
    let requests = 0;
    const { server, url } = await serveHandler(async (request, response) => {
      await request.toArray();
      const lie = lies[requests];
      requests += 1;
      response.setHeader("content-type", "application/json");
      const messages = lie === undefined ? [dealing] : [lie, dealing];
      response.end(JSON.stringify({ committeeId: "7", generation: 1, messages }));
    });
    try {
      let now = 0;
      const members = parties.members.map((member) => (member.index === 3 ? { ...member, url } : member));
      const exchange = new Exchange({ members, dealers: members }, at(members, 0).operator, () => now);
      const collect = () => exchange.collect(bulletin, ID, createLogger("test", "silent"));
      for (const [before, milliseconds] of [0, 5000, 10_000, 20_000].entries()) {
        expect(bulletin.of("dealing")).to.have.length(1);
        now += Math.max(milliseconds - 1, 0);
        await collect();
        expect(requests).to.equal(milliseconds === 0 ? 1 : before);
        if (milliseconds === 0) continue;
        now += 1;
        await collect();
        expect(requests).to.equal(before + 1);
      }
      // What came behind a lie was dropped; what comes without one counts.
      expect(bulletin.of("dealing")).to.have.length(2);
    } finally {
      server.close();
    }
  });
});
