/** The rule for signatures of accounts, as daemons apply it, with wallets on a real chain. */

import { readFileSync } from "node:fs";
import { expect } from "chai";
import {
  ContractFactory,
  concat,
  getBytes,
  hexlify,
  type JsonRpcProvider,
  type Signer,
  TypedDataEncoder,
  Wallet,
  zeroPadValue,
} from "ethers";
import { connectChain } from "../../offchain/chain/deployment.ts";
import type { TypedData } from "../../offchain/core/identity/typed-messages.ts";
import { sessionTypedData } from "../../offchain/core/identity/typed-messages.ts";
import { checkAccountSignature, recoverSigner } from "../../offchain/daemon/account-signature.ts";
import { type FaultyProxy, startFaultyProxy } from "../helpers/anvil.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
/** Order as in the contract. */
const ODD_ANSWERS = [
  "Revert",
  "WrongMagic",
  "True",
  "Nothing",
  "Short",
  "Huge",
  "DirtyMagic",
  "BurnsAllGas",
  "RevertsWithMagic",
  "HugeYes",
];

function wallets(name: string): { abi: string[]; bytecode: string } {
  const path = `../../artifacts/contracts/test/zoo/SignatureWallets.sol/${name}.json`;
  return JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
}

function sign(signer: Pick<Wallet, "signTypedData">, typed: TypedData<object>): Promise<string> {
  return signer.signTypedData(typed.domain, typed.types, { ...typed.message });
}

function messageFor(account: string): TypedData<object> {
  const nonce = hexlify(new Uint8Array(32).fill(1));
  return sessionTypedData(31_337n, account, { account, audience: account, nonce, expiresAt: 1n });
}

/** The forms of an ECDSA signature that the rule refuses, made from one that it takes. */
function otherForms(signature: string): [string, string][] {
  const bytes = getBytes(signature);
  const [r, s, v] = [bytes.slice(0, 32), bytes.slice(32, 64), bytes[64] ?? 0];
  const highS = zeroPadValue(`0x${(ORDER - BigInt(hexlify(s))).toString(16).padStart(64, "0")}`, 32);
  const compact = s.slice();
  compact[0] = (compact[0] ?? 0) | (v === 28 ? 0x80 : 0);
  return [
    ["v 0 or 1", concat([r, s, Uint8Array.of(v - 27)])],
    ["the other v", concat([r, s, Uint8Array.of(55 - v)])],
    ["v of EIP-155", concat([r, s, Uint8Array.of(v + 8)])],
    ["high s", concat([r, highS, Uint8Array.of(55 - v)])],
    ["64 bytes of ERC-2098", concat([r, compact])],
    ["66 bytes", concat([bytes, Uint8Array.of(0)])],
    ["nothing", "0x"],
    ["zeros", hexlify(new Uint8Array(65))],
  ];
}

describe("signatures of accounts", () => {
  let local: LocalChain;
  let deployer: Signer & { provider: JsonRpcProvider };
  const alice = new Wallet(hexlify(new Uint8Array(32).fill(0xa1)));
  const mallory = new Wallet(hexlify(new Uint8Array(32).fill(0x66)));

  before(async () => {
    local = await startLocalChain();
    deployer = local.account(1) as unknown as typeof deployer;
  });
  after(() => local?.stop());

  async function deploy(name: string, ...args: unknown[]): Promise<string> {
    const { abi, bytecode } = wallets(name);
    const contract = await new ContractFactory(abi, bytecode, deployer).deploy(...args);
    await contract.waitForDeployment();
    return contract.getAddress();
  }

  const check = (account: string, typed: TypedData<object>, signature: string) =>
    checkAccountSignature(local.chain, account, typed, signature);

  async function refuses(account: string, typed: TypedData<object>, signature: string): Promise<void> {
    const error = await expectAsyncRejection(() => check(account, typed, signature), "INVALID_SIGNATURE");
    expect(error).to.include({ party: `account ${account}`, check: "EIP-712 signature" });
  }

  /** Has an account delegate to a contract (EIP-7702). */
  async function delegate(account: Wallet, to: string): Promise<void> {
    const authority = account.connect(deployer.provider);
    const authorization = await authority.authorize({
      address: to,
      nonce: await authority.getNonce(),
      chainId: 31_337n,
    });
    const sent = await deployer.sendTransaction({
      type: 4,
      to: await deployer.getAddress(),
      authorizationList: [authorization],
    });
    await sent.wait();
    expect(await deployer.provider.getCode(account.address)).to.equal(`0xef0100${to.slice(2).toLowerCase()}`);
  }

  it("of plain accounts are 65 bytes with v 27 or 28 and a low s, as on chain", async () => {
    const typed = messageFor(alice.address);
    const signature = await sign(alice, typed);
    await check(alice.address, typed, signature);
    await refuses(mallory.address, typed, signature);
    await refuses(alice.address, messageFor(mallory.address), signature);
    for (const [what, form] of otherForms(signature)) {
      expect(recoverSigner(typed, form), what).not.to.equal(alice.address);
      await refuses(alice.address, typed, form);
    }
  });

  it("of accounts that delegate to code without EIP-1271 are judged by ECDSA", async () => {
    const account = new Wallet(hexlify(new Uint8Array(32).fill(0xb2)));
    await delegate(account, local.deployment.contracts.nodeRegistry);
    const typed = messageFor(account.address);
    const signature = await sign(account, typed);
    await check(account.address, typed, signature);
    await refuses(account.address, typed, await sign(mallory, typed));
    for (const [, form] of otherForms(signature)) await refuses(account.address, typed, form);
  });

  it("of accounts that delegate to a wallet are judged by ECDSA, then by the wallet", async () => {
    const account = new Wallet(hexlify(new Uint8Array(32).fill(0xc3)));
    await delegate(account, await deploy("SingleKeyWallet", alice.address));
    // The delegate reads its signer from the account's own storage.
    await deployer.provider.send("anvil_setStorageAt", [
      account.address,
      zeroPadValue("0x00", 32),
      zeroPadValue(alice.address, 32),
    ]);
    const typed = messageFor(account.address);
    await check(account.address, typed, await sign(account, typed));
    await check(account.address, typed, await sign(alice, typed));
    await refuses(account.address, typed, await sign(mallory, typed));
  });

  it("of contract wallets are judged by the wallet", async () => {
    const wallet = await deploy("SingleKeyWallet", alice.address);
    const typed = messageFor(wallet);
    await check(wallet, typed, await sign(alice, typed));
    await refuses(wallet, typed, await sign(mallory, typed));
  });

  it("are refused whatever odd answer a wallet gives, one that burns all gas included", async () => {
    for (const [answer, what] of ODD_ANSWERS.entries()) {
      const wallet = await deploy("OddWallet", answer);
      const typed = messageFor(wallet);
      const signature = await sign(alice, typed);
      if (what === "HugeYes") await check(wallet, typed, signature);
      else await refuses(wallet, typed, signature);
    }
  });

  it("are taken from a wallet that answers with the longest signature that daemons read", async () => {
    const owners = Array.from({ length: 15 }, (_, i) => new Wallet(hexlify(new Uint8Array(32).fill(i + 1))));
    const wallet = await deploy(
      "MultiKeyWallet",
      owners.map(({ address }) => address),
    );
    const typed = messageFor(wallet);
    const signatures = await Promise.all(owners.map((owner) => sign(owner, typed)));
    await check(wallet, typed, concat([...signatures, new Uint8Array(1024 - 15 * 65)]));
    await refuses(wallet, typed, concat([...signatures.toReversed(), new Uint8Array(1024 - 15 * 65)]));
  });

  describe("when the chain is slow or fails", () => {
    let proxy: FaultyProxy;
    let release: () => void;

    beforeEach(async () => {
      proxy = await startFaultyProxy(local.rpcUrl);
    });
    afterEach(async () => {
      proxy.fault = () => undefined;
      release?.();
      await proxy.close();
    });

    it("are checked four at a time; 32 more wait, further ones get 429; plain accounts never wait", async () => {
      const chain = await connectChain({ ...local.deployment, rpcUrl: proxy.url });
      const typed = messageFor(alice.address);
      const wrong = await sign(mallory, typed);
      const right = await sign(alice, typed);
      const held = new Promise<undefined>((resolve) => {
        release = () => resolve(undefined);
      });
      let underWay = 0;
      let most = 0;
      proxy.fault = async (method) => {
        if (method !== "eth_call") return undefined;
        underWay += 1;
        most = Math.max(most, underWay);
        await held;
        underWay -= 1;
        return undefined;
      };
      const outcomes = Array.from({ length: 60 }, () =>
        checkAccountSignature(chain, alice.address, typed, wrong).then(
          () => "accepted",
          (error) => error.code as string,
        ),
      );
      await checkAccountSignature(chain, alice.address, typed, right);
      const limited = await Promise.all(outcomes.slice(36));
      expect(new Set(limited)).to.deep.equal(new Set(["RATE_LIMITED"]));
      release();
      expect(new Set(await Promise.all(outcomes.slice(0, 36)))).to.deep.equal(new Set(["INVALID_SIGNATURE"]));
      expect(most).to.be.within(1, 4);
      await expectAsyncRejection(() => checkAccountSignature(chain, alice.address, typed, wrong), "INVALID_SIGNATURE");
      chain.close();
    }).timeout(60_000);

    it("are neither taken nor refused: the failure is the chain's", async () => {
      const chain = await connectChain({ ...local.deployment, rpcUrl: proxy.url });
      const typed = messageFor(alice.address);
      const wrong = await sign(mallory, typed);
      proxy.fault = (method) => (method === "eth_call" ? { error: { code: -32005, message: "limit" } } : undefined);
      await expectAsyncRejection(() => checkAccountSignature(chain, alice.address, typed, wrong), "CHAIN_UNAVAILABLE");
      chain.close();
    });
  });

  it("are judged alike by the ledger", async () => {
    const typed = messageFor(alice.address);
    const digest = TypedDataEncoder.hash(typed.domain, typed.types, { ...typed.message });
    const signature = await sign(alice, typed);
    const { keyLedger } = await import("../../offchain/chain/contracts.ts");
    const ledger = keyLedger(local.chain);
    expect(await ledger.isAccountSignature(alice.address, digest, signature)).to.equal(true);
    for (const [what, form] of otherForms(signature)) {
      expect(await ledger.isAccountSignature(alice.address, digest, form), what).to.equal(false);
    }
  });
});
