/**
 * Agreements and the device's memory of them out of step: a chain that was started anew, a device that is gone, two
 * commands at once.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { SqliteCatalogue } from "../../offchain/agent/node/catalogue.ts";
import { NATIVE_TOKEN } from "../../offchain/chain/escrow.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { newPerson, personFrom, withAgentOf } from "../helpers/people.ts";

describe("agreements that a device remembers wrongly, or not at all", () => {
  let net: LocalNet;

  before(async () => {
    net = await startLocalNet({ ...SMALL_COMMITTEE, sampleCount: 30 });
  });
  after(async () => await net?.stop());

  function fileOf(name: string): string {
    const path = join(net.dir, "files", name);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, `file of ${name}`);
    return path;
  }

  it("does not confuse another's agreement with its own of the same number on an earlier chain", async () => {
    const bob = await newPerson(net, "bob");
    const theirs = await withAgentOf(net, bob, (agent) => agent.put([fileOf("bob")]));
    const number = theirs.agreements[0]?.agreementId ?? 0n;
    expect(theirs.agreements[0]?.status).to.equal("active");

    const alice = await newPerson(net, "alice");
    const path = fileOf("alice");
    const { dataId } = await withAgentOf(net, alice, (agent) => agent.put([path], { agreement: false }));
    const catalogue = new SqliteCatalogue(join(alice.home, "agent.db"));
    const [{ account: provider } = { account: "" }] = net.deployment.providers;
    const escrow = net.deployment.contracts.storageEscrow;
    const stale = { salt: `0x${"07".repeat(32)}`, dataId, provider, escrow, createdAt: 1 };
    await catalogue.saveAgreement({ ...stale, state: "accepted", agreementId: number });
    await catalogue.close();

    await withAgentOf(net, alice, async (agent) => {
      const {
        agreements: [agreement],
      } = await agent.put([path]);
      expect(agreement).to.include({ isNew: true, status: "active", dataId });
      expect(agreement?.agreementId).to.not.equal(number);
      expect(await agent.audit(dataId)).to.include({ agreementId: agreement?.agreementId });
      expect((await agent.agreements.show(number)).dataId).to.equal(undefined);
    });
  });

  it("cancels a proposal from a device that did not make it, with the recovery phrase alone", async () => {
    const carol = await newPerson(net, "carol");
    const path = fileOf("carol");
    let stopping: Promise<void> | undefined;
    const failure = await withAgentOf(net, carol, (agent) =>
      agent.put([path], {
        onProgress: ({ operation, phase }) => {
          if (operation === "agreement" && phase === "accepting") stopping = net.provider.process.stop("SIGKILL");
        },
      }),
    ).then(
      () => undefined,
      (error: unknown) => error,
    );
    await stopping;
    expect(failure).to.include({ code: "UNREACHABLE" });

    const device = await personFrom(net, "carol-new-device", carol.recoveryPhrase);
    await withAgentOf(net, device, async (agent) => {
      const [proposal] = await agent.agreements.list();
      expect(proposal?.status).to.equal("proposed");
      await agent.agreements.cancel(proposal?.agreementId ?? 0n);
      const { feePerEpoch = 0n, epochs = 0 } = proposal?.terms ?? {};
      expect(await agent.agreements.credit(NATIVE_TOKEN)).to.equal(feePerEpoch * BigInt(epochs));
    });
    await net.provider.process.start();
  });

  it("records and deposits once when two puts of one home store the same at the same time", async () => {
    const eve = await newPerson(net, "eve");
    const path = fileOf("eve");
    const reports = await withAgentOf(net, eve, (one) =>
      withAgentOf(net, eve, (other) => Promise.all([one.put([path]), other.put([path])])),
    );
    expect(reports.map(({ record }) => record.isNew).sort()).to.deep.equal([false, true]);
    const [first, second] = reports.map(({ agreements }) => agreements[0]);
    expect(first?.agreementId).to.equal(second?.agreementId);
    expect(await withAgentOf(net, eve, (agent) => agent.agreements.list())).to.have.length(1);
  });

  it("does not cancel another account's proposal", async () => {
    const dora = await newPerson(net, "dora");
    await withAgentOf(net, dora, async (agent) => {
      const failure = await agent.agreements.cancel(1n).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(failure).to.include({ code: "CONFLICT", check: "agreement status" });
    });
  });
});
