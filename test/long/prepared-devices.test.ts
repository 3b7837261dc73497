/**
 * `tallystick delegate prepare` with real nodes, providers and a real chain: killed at each step, without money, and
 * with parcels that somebody has changed on the way.
 */
import { readFileSync } from "node:fs";
import { expect } from "chai";
import { AgentAccount } from "../../offchain/agent/account.ts";
import { CspClient } from "../../offchain/agent/providers/csp-client.ts";
import { identityFromPhrase } from "../../offchain/core/identity/identity.ts";
import { parseDelegationRequest } from "../../offchain/core/wire/delegation.ts";
import { SessionTokens } from "../../offchain/http/sessions.ts";
import { startTallystick, tallystick } from "../../scripts/demo/command.ts";
import { Household } from "../helpers/household.ts";
import { DROP, type ProxiedRequest } from "../helpers/http-proxy.ts";
import { escrowEvents, withChain } from "../helpers/on-chain.ts";
import { newPerson, type Person, withAgentOf } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";
import { startTwoProviderNet, type TwoProviderNet } from "../helpers/two-providers.ts";

const PARCEL = /^\/v1\/delegates\/[^/]+\/parcel$/;
const OCTETS = "application/octet-stream";

describe("the data set that is prepared for a device", function () {
  this.timeout(300_000);
  let net: TwoProviderNet;
  let people = 0;

  before(async () => {
    net = await startTwoProviderNet();
  });
  after(async () => await net?.stop());
  afterEach(() => {
    for (const proxy of [net.toSecond, net.toChain]) {
      proxy.intercept = () => undefined;
      proxy.alter = () => undefined;
    }
  });

  const granted = async () => {
    people += 1;
    return await Household.grant(net, `home-${people}`);
  };
  const atSecond = () => ["--provider", net.second.operator];

  /** What the owner has done on chain. */
  async function done({ owner }: Household): Promise<{ opened: string[]; deposits: bigint[]; sent: number }> {
    const events = await escrowEvents(net);
    const opened = events.flatMap((event) =>
      event.kind === "DataSetOpened" && event.terms.user === owner.account ? [event.id] : [],
    );
    const deposits = events.flatMap((event) =>
      event.kind === "Deposited" && event.user === owner.account ? [event.amount] : [],
    );
    const sent = await withChain(net, ({ provider }) => provider.getTransactionCount(owner.account));
    return { opened, deposits, sent };
  }

  /** Kills the command with SIGKILL at one request, before or after it was carried out. */
  async function killedAt(
    home: Household,
    strikes: (request: ProxiedRequest) => boolean,
    when: "before" | "after",
  ): Promise<void> {
    const running = startTallystick(home.owner, ["--json", "delegate", "prepare", home.request, ...atSecond()]);
    let struck = false;
    const strike = async (request: ProxiedRequest) => {
      if (struck || !strikes(request)) return undefined;
      struck = true;
      running.process.kill("SIGKILL");
      await running.ended;
      return DROP;
    };
    for (const proxy of [net.toSecond, net.toChain]) {
      if (when === "before") proxy.intercept = strike as typeof proxy.intercept;
      else proxy.alter = strike as typeof proxy.alter;
    }
    await running.ended;
    expect(struck, "the moment came").to.equal(true);
    for (const proxy of [net.toSecond, net.toChain]) {
      proxy.intercept = () => undefined;
      proxy.alter = () => undefined;
    }
  }

  const at = (method: string, path: RegExp) => (request: ProxiedRequest) =>
    request.method === method && path.test(request.path);
  const sending = (count: number) => {
    let seen = 0;
    return ({ body }: ProxiedRequest) =>
      new TextDecoder().decode(body).includes('"eth_sendRawTransaction"') && ++seen === count;
  };
  for (const [what, strikes, when] of [
    ["after the set was begun", () => at("PUT", /^\/v1\/data-sets\/[^/]+$/), "after"],
    ["after its first object was stored", () => at("POST", /^\/v1\/chunks$/), "after"],
    ["while tags are delivered", () => at("PUT", /\/tags/), "after"],
    ["after the deposit was sent", () => sending(1), "after"],
    ["before the set is opened", () => at("POST", /\/open$/), "before"],
    ["after the set was opened", () => at("POST", /\/open$/), "after"],
    ["before the limit is sent", () => sending(2), "before"],
    ["after the limit was sent", () => sending(2), "after"],
    ["before the parcel is left", () => at("PUT", PARCEL), "before"],
    ["after the parcel was left", () => at("PUT", PARCEL), "after"],
  ] as const) {
    it(`is completed by another run when the first one is killed ${what}, and nothing is paid twice`, async () => {
      const [whole, home] = [await granted(), await granted()];
      await whole.prepare(...atSecond());
      await killedAt(home, strikes(), when);
      const prepared = await home.prepare(...atSecond());
      const [expected, found] = [await done(whole), await done(home)];
      expect(found.opened).to.deep.equal([prepared.dataSet]);
      expect(found.deposits).to.deep.equal(expected.deposits);
      expect(found.sent).to.equal(expected.sent);
      const again = await home.prepare(...atSecond());
      expect(again).to.include({ dataSet: prepared.dataSet, isNew: false, deposited: "0" });
      expect(again.transactions).to.deep.equal([]);
      const report = await home.put(`of ${home.owner.account}`, 60_000);
      expect(report.addedSlices).to.be.greaterThan(0);
    });
  }

  it("is not begun without the money for it, and is once there is some", async () => {
    const home = await granted();
    const coins = await withChain(net, ({ provider }) => provider.getBalance(home.owner.account));
    await net.chain.provider.send("anvil_setBalance", [home.owner.account, "0x0"]);
    // The command gives itself coins on a development chain.
    const request = parseDelegationRequest(readFileSync(home.request, "utf8"));
    const prepare = () =>
      withAgentOf(net, home.owner, (agent) => agent.delegates.prepare(request, { provider: net.second.operator }));
    await expectAsyncRejection(prepare, "FUNDS");
    expect((await done(home)).opened).to.deep.equal([]);
    await net.chain.provider.send("anvil_setBalance", [home.owner.account, `0x${coins.toString(16)}`]);
    await home.prepare(...atSecond());
    expect((await done(home)).opened).to.deep.equal([home.dataSet]);
    expect((await home.put("with money", 60_000)).addedSlices).to.be.greaterThan(0);
  });

  it("takes nothing that the owner's balance does not cover, and goes on when it does", async () => {
    const home = await granted();
    await home.prepare(...atSecond());
    await home.owners("data-set", "withdraw");
    const file = home.write("uncovered", pseudoRandomBytes("uncovered", 6_000_000));
    const refused = await tallystick(home.device, ["put", file]);
    expect(refused.document.error, JSON.stringify(refused.document)).to.include({ code: "FUNDS" });
    await home.owners("data-set", "top-up", String(10n ** 17n));
    const stored = await home.said(home.device, ["put", file]);
    const [report] = stored.dataSets as { id: string; addedSlices: number }[];
    expect(report?.id).to.equal(home.dataSet);
    expect(report?.addedSlices).to.be.greaterThan(0);
  });

  describe("is named by a parcel, which the device", () => {
    let home: Household;
    let other: Household;
    const sealed = new Map<Household, Uint8Array>();

    before(async () => {
      [home, other] = [await granted(), await granted()];
      for (const one of [home, other]) {
        net.toSecond.intercept = ({ method, path, body }) => {
          if (method === "PUT" && PARCEL.test(path)) sealed.set(one, body);
          return undefined;
        };
        await one.prepare(...atSecond());
      }
      net.toSecond.intercept = () => undefined;
    });

    const parcel = (of: Household) => sealed.get(of) ?? new Uint8Array();
    for (const [name, bytes, code] of [
      ["another account's", () => parcel(other), "INTEGRITY"],
      ["changed", () => parcel(home).map((byte, k) => (k === 80 ? byte ^ 1 : byte)), "INTEGRITY"],
      ["truncated", () => parcel(home).subarray(0, 112), "INTEGRITY"],
      ["empty", () => new Uint8Array(), "INTEGRITY"],
      ["too large", () => new Uint8Array(2 ** 20), "BAD_RESPONSE"],
    ] as const) {
      it(`does not take when it is ${name}`, async () => {
        net.toSecond.alter = async ({ method, path }) =>
          method === "GET" && PARCEL.test(path) ? { status: 200, type: OCTETS, body: bytes() } : undefined;
        const refused = await tallystick(home.device, ["put", home.write("hostile", pseudoRandomBytes(name, 50_000))]);
        expect(refused.document.error, JSON.stringify(refused.document)).to.have.property("code").that.equals(code);
      });
    }

    it("does not take when it is one of another provider", async () => {
      // The provider is in what the parcel is sealed with: the first provider shows what the second one has.
      const client = clientOf(home.owner, net.provider.url, net.provider.account);
      await client.leaveParcel(home.device.account, parcel(home));
      const refused = await tallystick(home.device, ["put", home.write("moved", pseudoRandomBytes("moved", 50_000))]);
      expect(refused.document.error, JSON.stringify(refused.document)).to.include({ code: "INTEGRITY" });
    });

    it("has its provider keep for delegates of the account that leaves it alone, in its one length", async () => {
      const [url, account] = [net.second.url, net.second.operator];
      const key = home.device.account;
      const owner = clientOf(home.owner, url, account);
      const stranger = clientOf(await newPerson(net, "stranger"), url, account);
      const device = clientOf(home.device, url, account);
      const whole = parcel(home);
      for (const [leave, code] of [
        [() => owner.leaveParcel(key, whole.subarray(1)), "INVALID_INPUT"],
        [() => owner.leaveParcel(key, new Uint8Array(114)), "INVALID_INPUT"],
        [() => owner.leaveParcel(key, new Uint8Array(2 ** 20)), "INVALID_INPUT"],
        [() => owner.leaveParcel(other.device.account, whole), "NOT_DELEGATED"],
        [() => owner.leaveParcel(home.owner.account, whole), "NOT_DELEGATED"],
        [() => stranger.leaveParcel(key, whole), "NOT_DELEGATED"],
        [() => device.leaveParcel(key, whole), "OUT_OF_SCOPE"],
      ] as const) {
        await expectAsyncRejection(leave, code);
      }
      await expectAsyncRejection(() => stranger.parcel(key), "NOT_FOUND");
      await expectAsyncRejection(() => device.parcel(home.owner.account), "OUT_OF_SCOPE");
      expect(Buffer.compare(await device.parcel(key), whole)).to.equal(0);
    });

    it("notices as over when it is an earlier one that is replayed", async () => {
      const again = await granted();
      net.toSecond.intercept = ({ method, path, body }) => {
        if (method === "PUT" && PARCEL.test(path)) sealed.set(again, body);
        return undefined;
      };
      await again.prepare(...atSecond());
      const [old, first] = [parcel(again), again.dataSet];
      await again.put("before", 50_000);
      await again.owners("data-set", "notice", first);
      net.toSecond.intercept = () => undefined;
      await again.prepare(...atSecond());
      expect(again.dataSet).to.not.equal(first);
      net.toSecond.alter = async ({ method, path }) =>
        method === "GET" && PARCEL.test(path) ? { status: 200, type: OCTETS, body: old } : undefined;
      const file = again.write("after", pseudoRandomBytes("after", 50_000));
      const refused = await tallystick(again.device, ["put", file]);
      expect(refused.document.error).to.include({ code: "CONFLICT", check: "data set of the delegate" });
      net.toSecond.alter = () => undefined;
      const [report] = (await again.said(again.device, ["put", file])).dataSets as { id: string }[];
      expect(report?.id).to.equal(again.dataSet);
    });
  });

  function clientOf({ recoveryPhrase }: Person, url: string, provider: string): CspClient {
    const account = new AgentAccount(identityFromPhrase(recoveryPhrase).signingKey);
    return new CspClient(url, provider, new SessionTokens(account, net.deployment));
  }
});
