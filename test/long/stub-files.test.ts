/** Stub files that a provider has damaged or dropped, through the real command line with two real providers. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { PutReport } from "../../offchain/agent/index.ts";
import { tallystick } from "../../scripts/demo/command.ts";
import { DROP, jsonAnswer, type ProxiedAnswer, type ProxiedRequest } from "../helpers/http-proxy.ts";
import { newPerson, type Person, withAgentOf } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { startTwoProviderNet, type TwoProviderNet } from "../helpers/two-providers.ts";

const isStubFile = ({ path }: ProxiedRequest) => path.startsWith("/v1/stub-files/");

describe("stub files that a provider does not keep", function () {
  this.timeout(300_000);
  let net: TwoProviderNet;
  let people = 0;

  before(async () => {
    net = await startTwoProviderNet();
  });
  after(async () => await net?.stop());
  afterEach(() => {
    net.toSecond.intercept = () => undefined;
    net.toSecond.alter = () => undefined;
  });

  /** Somebody with a revocable put at some providers. */
  async function someone(providers: readonly string[], dataSet?: false): Promise<{ person: Person; put: PutReport }> {
    people += 1;
    const person = await newPerson(net, `person-${people}`);
    const folder = join(net.dir, `folder-${people}`);
    mkdirSync(folder);
    writeFileSync(join(folder, "large"), pseudoRandomBytes(`large ${people}`, 2 * 1024 * 1024));
    writeFileSync(join(folder, "small"), `small ${people}`);
    const put = await withAgentOf(net, person, (agent) =>
      agent.put([folder], { keyMode: "revocable", providers, ...(dataSet === undefined ? {} : { dataSet }) }),
    );
    return { person, put };
  }
  const both = () => [net.provider.account, net.second.operator];

  /** The second provider has lost all stub files. */
  const lose = () => {
    const lost = jsonAnswer({ error: { code: "NOT_FOUND", message: "none" } }, 404);
    net.toSecond.intercept = (request) =>
      isStubFile(request) && request.method === "GET" ? Promise.resolve(lost) : undefined;
  };
  /** The second provider returns them with another last byte. */
  const damage = () => {
    net.toSecond.alter = async (request, answer): Promise<ProxiedAnswer | undefined> => {
      if (!isStubFile(request) || request.method !== "GET" || answer.status !== 200) return undefined;
      const last = answer.body.at(-1) ?? 0;
      return { ...answer, body: answer.body.with(-1, last ^ 1) };
    };
  };
  const errorOf = (document: Record<string, unknown>) => document.error as Record<string, unknown>;

  it("are found by verify, which names provider and put, and reads the rest with another one's", async () => {
    const { person, put } = await someone(both(), false);
    const whole = await tallystick(person, ["verify", "latest"]);
    expect(whole.exitCode, whole.stderr).to.equal(0);
    expect(whole.document).to.include({ intact: true });
    for (const [harm, reason] of [
      [damage, "does not open"],
      [lose, "has no stub file of"],
    ] as const) {
      harm();
      const found = await tallystick(person, ["verify", "latest"]);
      expect(found.exitCode, reason).to.equal(7);
      expect(errorOf(found.document)).to.include({ code: "INTEGRITY", party: `provider ${net.second.operator}` });
      const { copies } = errorOf(found.document).details as { copies: Record<string, unknown>[] };
      expect(copies.map(({ provider, damagedCount }) => [provider, damagedCount])).to.deep.equal([
        [net.second.operator, 0],
      ]);
      expect(copies[0]?.stubFile).to.include(reason).and.to.include(put.dataId);
      expect(found.stderr).to.include(`provider ${net.second.operator}: stub file: `);
      net.toSecond.alter = () => undefined;
    }
  });

  it("make a put unreadable that no other provider has, and another put of it makes them again", async () => {
    const { person, put } = await someone([net.second.operator], false);
    damage();
    const found = await tallystick(person, ["verify", put.dataId, "--provider", net.second.operator]);
    expect(found.exitCode).to.equal(7);
    expect(errorOf(found.document).message).to.equal("2 files cannot be read as they were put");
    let sealed = 0;
    net.toSecond.intercept = (request) => {
      if (isStubFile(request) && request.method === "PUT") sealed += 1;
      return undefined;
    };
    await withAgentOf(net, person, (agent) =>
      agent.put([join(net.dir, `folder-${people}`)], {
        keyMode: "revocable",
        providers: [net.second.operator],
        dataSet: false,
      }),
    );
    expect(sealed).to.equal(1);
    net.toSecond.alter = () => undefined;
    const healed = await tallystick(person, ["verify", "latest"]);
    expect(healed.exitCode, healed.stderr).to.equal(0);
  });

  it("are rekeyed where they can be, and the command says where the old keys still open them", async () => {
    const { person, put } = await someone([net.provider.account], false);
    const rekeyed = await tallystick(person, ["rekey", "latest"]);
    expect(rekeyed.document).to.deep.include({
      stubFiles: [{ provider: net.provider.account, epoch: 2 }],
      failures: [],
    });
    const epochs: bigint[] = [];
    net.toSecond.intercept = (request) => {
      if (isStubFile(request) && request.method === "PUT") {
        epochs.push(new DataView(request.body.buffer).getBigUint64(1));
      }
      return undefined;
    };
    await withAgentOf(net, person, (agent) =>
      agent.put([join(net.dir, `folder-${people}`)], { keyMode: "revocable", providers: both(), dataSet: false }),
    );
    // Not the first one, whose keys were taken away.
    expect(epochs).to.deep.equal([2n]);
    net.toSecond.intercept = (request) =>
      isStubFile(request) && request.method === "PUT" ? Promise.resolve(DROP) : undefined;
    const first = await tallystick(person, ["rekey", "latest"]);
    expect(first.exitCode, first.stderr).to.equal(10);
    expect(first.document.stubFiles).to.deep.equal([{ provider: net.provider.account, epoch: 3 }]);
    expect((first.document.failures as Record<string, unknown>[]).map(({ provider }) => provider)).to.deep.equal([
      net.second.operator,
    ]);
    expect(first.stderr).to.include(`provider ${net.second.operator} was not rekeyed: `);
    expect(first.stderr).to.include("the old keys still open the put there: run the command again");
    net.toSecond.intercept = () => undefined;
    const second = await tallystick(person, ["rekey", put.dataId]);
    expect(second.exitCode, second.stderr).to.equal(0);
    expect(second.document.stubFiles).to.deep.equal(both().map((provider) => ({ provider, epoch: 4 })));
    expect((await tallystick(person, ["verify", "latest"])).exitCode).to.equal(0);
  });

  it("are opened before a migration copies them, and reported when nobody has them whole", async () => {
    const { person, put } = await someone([net.second.operator]);
    damage();
    const id = put.dataSets[0]?.id ?? "";
    const moved = await tallystick(person, ["data-set", "migrate", id, "--to", net.provider.account]);
    expect(moved.exitCode, moved.stderr).to.equal(10);
    const reported = moved.document.damaged as { id: string; error: Record<string, unknown> }[];
    expect(reported.map((one) => one.id)).to.deep.equal([put.dataId]);
    expect(reported[0]?.error).to.include({ code: "INTEGRITY", check: "AES-256-GCM tag" });
    expect(String(reported[0]?.error.party)).to.include(net.toSecond.url);
    net.toSecond.alter = () => undefined;
    const again = await tallystick(person, ["data-set", "migrate", id, "--to", net.provider.account]);
    expect(again.exitCode, again.stderr).to.equal(0);
    const there = await tallystick(person, ["verify", put.dataId, "--provider", net.provider.account]);
    expect(there.exitCode, there.stderr).to.equal(0);
  });
});
