/** Who may open a session, under each of the admission rules, against contract state of a real chain. */

import { expect } from "chai";
import { Wallet } from "ethers";
import { NATIVE_TOKEN } from "../../offchain/chain/data-set-words.ts";
import type { ChainReader } from "../../offchain/chain/deployment.ts";
import { depositCall } from "../../offchain/chain/escrow-calls.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import { firstMismatch } from "../../offchain/core/wire/schema.ts";
import { type AdmissionRule, AdmissionSchema, admissionBy } from "../../offchain/daemon/admission.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";

const ETHER = 10n ** 18n;

describe("admission", () => {
  let local: LocalChain;
  let now: number;

  before(async () => {
    local = await startLocalChain();
  });
  after(() => local?.stop());
  beforeEach(() => {
    now = 0;
  });

  const admission = (rule: AdmissionRule | undefined, chain: ChainReader = local.chain) => {
    const check = admissionBy(rule, chain, () => now);
    return async (account: string): Promise<TallystickError | undefined> => {
      try {
        await check(account);
        return undefined;
      } catch (error) {
        if (error instanceof TallystickError) return error;
        throw error;
      }
    };
  };

  it("open, or no rule, admits every account", async () => {
    const account = Wallet.createRandom().address;
    expect(await admission(undefined)(account)).to.equal(undefined);
    expect(await admission({ mode: "open" })(account)).to.equal(undefined);
  });

  it("allow-list admits the accounts named, in any letter case, and no others", async () => {
    const [listed, other] = [Wallet.createRandom().address, Wallet.createRandom().address];
    const refusal = admission({ mode: "allow-list", accounts: [listed.toLowerCase()] });
    expect(await refusal(listed)).to.equal(undefined);
    const error = await refusal(other);
    expect(error).to.include({ code: "NOT_ADMITTED", party: `account ${other}`, retryable: false });
    expect(error?.hint).to.be.a("string");
  });

  it("deposit admits an account once its balance and credit reach the minimum", async () => {
    const account = Wallet.createRandom().address;
    const refusal = admission({ mode: "deposit", minimumWei: String(ETHER) });
    await local.fund([account], ETHER - 1n);
    const error = await refusal(account);
    expect(error).to.include({
      code: "NOT_ADMITTED",
      expected: `at least ${ETHER} wei`,
      received: `${ETHER - 1n} wei`,
    });
    await local.fund([account], 1n);
    now += 5000;
    expect(await refusal(account)).to.equal(undefined);
  });

  it("deposit counts the balance in the escrow", async () => {
    const account = Wallet.createRandom().address;
    // Anybody may pay into a user's balance.
    const { to, data, value = 0n } = depositCall(local.deployment, NATIVE_TOKEN, account, ETHER - 1n);
    await (await local.account(1).sendTransaction({ to, data, value })).wait();
    const refusal = admission({ mode: "deposit", minimumWei: String(ETHER) });
    expect(await refusal(account)).to.include({ code: "NOT_ADMITTED", received: `${ETHER - 1n} wei` });
    await local.fund([account], 1n);
    now += 5000;
    expect(await refusal(account)).to.equal(undefined);
  });

  it("deposit asks the chain again after a minute, not at every opening", async () => {
    const account = Wallet.createRandom().address;
    let reads = 0;
    const provider = new Proxy(local.chain.provider, {
      get(target, name) {
        if (name === "getBalance") reads += 1;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const refusal = admission({ mode: "deposit", minimumWei: "1" }, { ...local.chain, provider });
    await local.fund([account], 1n);
    for (let k = 0; k < 5; k++) expect(await refusal(account)).to.equal(undefined);
    expect(reads).to.equal(1);
    await local.chain.provider.send("anvil_setBalance", [account, "0x0"]);
    now += 59_999;
    expect(await refusal(account)).to.equal(undefined);
    now += 1;
    expect((await refusal(account))?.code).to.equal("NOT_ADMITTED");
    expect(reads).to.equal(2);
  });

  it("deposit neither admits nor refuses while the chain does not answer", async () => {
    const { provider } = local.chain;
    const silent = new Proxy(provider, {
      get(target, name) {
        if (name === "getBalance") return () => Promise.reject(Object.assign(new Error("down"), { code: "TIMEOUT" }));
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const refusal = admission({ mode: "deposit", minimumWei: "1" }, { ...local.chain, provider: silent });
    expect((await refusal(Wallet.createRandom().address))?.code).to.equal("CHAIN_UNAVAILABLE");
  });

  it("has a closed schema", () => {
    const fits = (rule: unknown) => firstMismatch(AdmissionSchema, rule) === undefined;
    expect(fits({ mode: "open" })).to.equal(true);
    expect(fits({ mode: "deposit", minimumWei: "10" })).to.equal(true);
    for (const rule of [{}, "open", { mode: "closed" }, { mode: "deposit" }, { mode: "open", accounts: [] }]) {
      expect(fits(rule), JSON.stringify(rule)).to.equal(false);
    }
  });
});
