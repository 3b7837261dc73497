/**
 * What delegates and their owner are told of scopes, budgets and their end: by `status` on the device, by
 * `delegate ls`, by the rotation that ends them, and to whoever recovers the account that was replaced.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { EXIT } from "../../offchain/cli/exit-codes.ts";
import { newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import { startTallystick, tallystick } from "../../scripts/demo/command.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { newPerson, type Person, personFrom, withAgentOf } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";

const CONTENT = pseudoRandomBytes("of the device", 100_000);
const LIMIT = 10n ** 15n;

describe("delegates of an account that is replaced", function () {
  this.timeout(300_000);
  let net: LocalNet;
  let owner: Person;
  let device: Person;
  let request: string;
  let dataSet: string;
  let dataId: string;
  let successor: Person;

  const said = async (person: Person, args: readonly string[]) => {
    const result = await tallystick(person, args);
    expect(result.exitCode, `${args.join(" ")}: ${result.stderr}${JSON.stringify(result.document)}`).to.equal(0);
    return result.document;
  };
  const printed = async (person: Person, args: readonly string[]) => (await startTallystick(person, args).ended).stdout;
  const write = (name: string, content: string | Uint8Array) => {
    const file = join(net.dir, name);
    writeFileSync(file, content);
    return file;
  };

  before(async () => {
    net = await startLocalNet({ ...SMALL_COMMITTEE, sampleCount: 30 });
    owner = await newPerson(net, "owner");
    device = await personFrom(net, "device", newRecoveryPhrase());
    const asked = await said(device, ["delegate", "request", owner.account, "--scope", "write"]);
    request = write("request.json", JSON.stringify(asked.request));
    await said(owner, ["delegate", "grant", request]);
  });
  after(async () => await net?.stop());

  it("are told on their device whose they are, and that no data set is prepared", async () => {
    const { actsFor, warnings } = await said(device, ["status"]);
    expect(actsFor).to.deep.include({ account: owner.account, scopes: ["write"], state: "live", budgets: [] });
    expect((warnings as string[]).join()).to.contain("`tallystick delegate prepare`");
    expect(await printed(owner, ["status"])).to.not.contain("acts for");
  });

  it("are told what they add to and may spend, as their owner is, who may write limits in ether", async () => {
    const { prepared } = (await said(owner, ["delegate", "prepare", request])) as { prepared: { dataSet: string } };
    ({ dataSet } = prepared);
    const wrong = await tallystick(owner, ["delegate", "limit", device.account, dataSet, "1 ether"]);
    expect(wrong.exitCode).to.equal(EXIT.usage);
    const limited = await said(owner, ["delegate", "limit", device.account, dataSet, "0.001ETH"]);
    expect(limited.feeLimit).to.equal(String(LIMIT));
    const stored = await said(device, ["put", write("backup.bin", CONTENT)]);
    dataId = String(stored.dataId);
    const expected = { dataSet, provider: net.provider.account, feeLimit: String(LIMIT) };
    const { actsFor, warnings } = (await said(device, ["status"])) as {
      actsFor: { budgets: Record<string, string>[] };
      warnings: string[];
    };
    expect(actsFor.budgets).to.have.length(1);
    expect(actsFor.budgets[0]).to.include(expected);
    expect(BigInt(actsFor.budgets[0]?.feePerEpoch ?? 0) > 0n).to.equal(true);
    expect(warnings).to.deep.equal([]);
    const { delegates } = (await said(owner, ["delegate", "ls"])) as { delegates: { budgets: object[] }[] };
    expect(delegates[0]?.budgets[0]).to.include(expected);
    const onDevice = await printed(device, ["status"]);
    expect(onDevice).to.contain(`acts for   ${owner.account}, to write, until `).and.not.contain("balance");
    for (const text of [onDevice, await printed(owner, ["delegate", "ls"])]) {
      expect(text).to.match(new RegExp(`adds to data set ${dataSet.slice(0, 10)} .* of at most 0\\.001 ETH`));
    }
  });

  it("are named by the rotation that ends them, with what to do", async () => {
    const { plan, recoveryPhrase } = (await said(owner, ["rotate"])) as {
      plan: { successor: string; endedDelegates: object[] };
      recoveryPhrase: string;
    };
    expect(plan.endedDelegates).to.have.length(1);
    expect(plan.endedDelegates[0]).to.deep.include({ key: device.account, scopes: ["write"] });
    const shown = await printed(owner, ["rotate"]);
    expect(shown).to.contain("DEVICES").and.to.contain(`tallystick delegate request ${plan.successor}`);
    const report = await said(owner, ["rotate", "--yes"]);
    expect(report.endedDelegates).to.deep.equal(plan.endedDelegates);
    successor = { ...owner, account: plan.successor, recoveryPhrase };
  });

  it("are told on their device that they act no more", async () => {
    const { actsFor, warnings } = (await said(device, ["status"])) as { actsFor: object; warnings: string[] };
    expect(actsFor).to.deep.include({ account: owner.account, state: "replaced", budgets: [] });
    expect(warnings.join()).to.contain("the account has a successor").and.to.contain("init --home");
  });

  it("have stored what the successor still opens", async () => {
    const target = join(net.dir, "restored");
    await withAgentOf(net, successor, (agent) => agent.get(dataId, target));
    expect(readFileSync(join(target, "backup.bin")).equals(CONTENT)).to.equal(true);
  });

  it("leave whoever recovers the replaced account with the name of the successor, and exit code 10", async () => {
    const late = await personFrom(net, "late", owner.recoveryPhrase);
    const recovered = await tallystick(late, ["recover"]);
    expect(recovered.exitCode, recovered.stderr).to.equal(EXIT.incomplete);
    expect(recovered.document.replacement).to.include({ successor: successor.account });
    expect(recovered.stderr).to.contain(`account ${owner.account} was replaced by ${successor.account}`);
    const next = await personFrom(net, "next", successor.recoveryPhrase);
    expect((await said(next, ["recover"])).replacement).to.equal(undefined);
  });
});
