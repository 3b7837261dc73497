import { expect } from "chai";
import { Wallet } from "ethers";
import { readCommittee, readCommitteeKeys } from "../../offchain/chain/registry.ts";
import { dealShares } from "../../offchain/core/committee/dealing.ts";
import { ristretto255Group } from "../../offchain/core/oprf/group.ts";
import { oprfReady } from "../../offchain/core/oprf/ristretto255.ts";
import { verifyCommitteeKeys } from "../../offchain/core/oprf/threshold.ts";
import { deceive } from "../helpers/dishonest-dealer.ts";
import { ForeignMember } from "../helpers/foreign-member.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { prepareCommittee, type TestCommittee, type TestNode } from "../helpers/nbm-committee.ts";
import { until } from "../helpers/promises.ts";

describe("key generation with a member that lies", function () {
  this.timeout(60_000);
  let local: LocalChain;
  let honest: TestCommittee;
  let liar: ForeignMember;

  before(async () => {
    await oprfReady();
    local = await startLocalChain();
    honest = await prepareCommittee(local, {
      size: 3,
      config: { pollMilliseconds: 50, maximumCommittees: 10, dealingSeconds: 2 },
      form: false,
    });
    await honest.startAll();
    liar = new ForeignMember(local);
    await liar.start();
  });
  after(async () => {
    liar?.stop();
    await honest?.stop();
    await local?.stop();
  });
  beforeEach(() => liar.behave());

  async function described(id: bigint) {
    const answers = await Promise.all(honest.nodes.map((node) => node.describe()));
    return answers.map(({ committees }) => committees.find(({ committeeId }) => committeeId === String(id)));
  }
  const problems = async (id: bigint) => (await described(id)).map((found) => found?.problem);

  /** The committee has both keys, and every node says why dealer 1 was left out. */
  async function endsWithout(id: bigint, fault: string): Promise<void> {
    await honest.ready(String(id), 30);
    const { keys, threshold, status } = await readCommitteeKeys(local.chain, id);
    expect(status).to.equal("active");
    for (const { groupPublicKey, verificationShares } of [keys.oprf, keys.record]) {
      verifyCommitteeKeys(ristretto255Group, groupPublicKey, verificationShares, threshold);
    }
    for (const found of await described(id)) expect(found?.faults).to.deep.equal([fault]);
  }

  it("ends without a dealer that seals a wrong share to one member", async () => {
    liar.dealings = (members) => [
      deceive(members, 1, {
        sharesFor: (member, shares) =>
          member === 3 ? shares.map((share) => share.map((byte, i) => (i === 3 ? byte ^ 1 : byte))) : shares,
      }),
    ];
    const id = await liar.form(honest.nodes, 2);
    await endsWithout(id, "dealer 1 sealed a share to member 3 that does not fit its commitments");
  });

  it("ends without a dealer whose dealing is bad for everybody to see", async () => {
    liar.dealings = (members) => [
      dealShares(members, 1).map((byte, i, all) => (i === all.length - 10 ? byte ^ 1 : byte)),
    ];
    const id = await liar.form(honest.nodes, 2);
    await until("end", async () => (await described(id)).every((found) => found?.ready === true), 30);
    for (const found of await described(id)) expect(found?.faults?.[0]).to.match(/^dealer 1 sent a bad dealing/);
  });

  it("ends without a dealer that sends different dealings to different members", async () => {
    liar.dealings = (members) => [dealShares(members, 1), dealShares(members, 1)];
    const [first] = [new Set<string>()];
    liar.serves = ({ kind, id: message }, request) => {
      if (kind !== "dealing") return true;
      first?.add(message);
      return [...(first ?? [])].indexOf(message) === request % 2;
    };
    const id = await liar.form(honest.nodes, 2);
    await endsWithout(id, "dealer 1 sent two different dealings");
  });

  it("ends without a dealer that sends nothing, and with one whose dealing is late", async () => {
    liar.dealings = () => [];
    const id = await liar.form(honest.nodes, 2);
    await honest.ready(String(id), 30);
    for (const found of await described(id)) expect(found?.faults).to.equal(undefined);

    // All have an outcome without it when it comes, and nobody has attested yet: they go on to another one.
    liar.behave();
    liar.attests = false;
    liar.serves = ({ kind, sender }) => kind !== "dealing" || sender !== 1;
    const late = await liar.form(honest.nodes, 2);
    await until("outcomes", async () => (await described(late)).every((found) => found?.phase === "attesting"), 30);
    liar.behave();
    await honest.ready(String(late), 30);
  });

  it("waits for messages signed by the member's operator key, and completes with signed ones", async () => {
    liar.signer = Wallet.createRandom();
    liar.joins = false;
    const id = await liar.form(honest.nodes, 2);
    const name = `member 1 (${liar.wallet.address})`;
    const waits = `the run waits for the announcement of ${name}`;
    await until("waiting", async () => (await problems(id)).every((problem) => problem === waits));
    for (const { log } of honest.nodes) expect(log).to.include("the announcement is not signed by member 1");
  });

  it("names a member that sends nothing, or does not attest", async () => {
    const name = `member 1 (${liar.wallet.address})`;
    const says = (id: bigint, what: string) =>
      until(
        what,
        async () => (await problems(id)).every((problem) => problem === `the run waits for ${what} of ${name}`),
        30,
      );
    liar.serves = () => false;
    liar.attests = false;
    const id = await liar.form(honest.nodes, 2);
    await says(id, "the announcement");
    liar.behave();
    liar.attests = false;
    await says(id, "the same attestation as this node's");
    expect((await readCommittee(local.chain, id)).status).to.equal("forming");
    liar.behave();
    await honest.ready(String(id));
    expect(await problems(id)).to.deep.equal([undefined, undefined, undefined]);
  });

  it("serves messages to anybody, but no more than one dealing and complaint too many of a party", async () => {
    liar.dealings = (members) => [1, 2, 3, 4].map(() => dealShares(members, 1));
    liar.attests = false;
    const id = await liar.form(honest.nodes, 2);
    const [node] = honest.nodes as [TestNode];
    await until("outcome", async () => (await described(id))[0]?.phase === "attesting", 30);
    const path = `/v1/committees/${id}/generations/1/messages`;
    const { json } = await node.request("POST", path, { body: { known: [] } });
    const from = (kind: string, sender: number) =>
      json.messages.filter((each: { kind: string; sender: number }) => each.kind === kind && each.sender === sender);
    expect(from("dealing", 1)).to.have.length(2);
    expect(from("dealing", 2)).to.have.length(1);
    for (let sender = 1; sender <= 4; sender++) expect(from("announcement", sender)).to.have.length(1);
    expect(json.transcript).to.match(/^0x[0-9a-f]{64}$/);
    liar.behave();
    await honest.ready(String(id), 30);
  });

  it("stops at the limit of committees, which bounds the work that strangers can make the node do", async () => {
    const count = async () => (await (honest.nodes[0] as TestNode).describe()).committees.length;
    liar.joins = false;
    let last = 0n;
    while ((await count()) < 10) {
      last = await liar.form(honest.nodes, 2);
      await until("begun", async () => (await described(last)).every((found) => found !== undefined));
    }
    const further = await liar.form(honest.nodes, 2);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await described(further)).to.deep.equal([undefined, undefined, undefined]);
  });
});
