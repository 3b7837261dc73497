/** Wallets as EIP-1193 providers: two real ones sign, and every error that wallets answer with has a type. */
import { expect } from "chai";
import hre from "hardhat";
import { httpWallet } from "../../../offchain/agent/node/http-wallet.ts";
import { type Eip1193Provider, eip1193Signer } from "../../../offchain/agent/wallet/eip1193.ts";
import type { ErrorCode } from "../../../offchain/core/errors.ts";
import { keystoreOpeners, openKeystore, sealKeystore } from "../../../offchain/core/identity/keystore.ts";
import { keystoreMessage } from "../../../offchain/core/identity/keystore-message.ts";
import { openByWallet, setUpWallet } from "../../../offchain/core/identity/wallet-signature.ts";
import { type Anvil, anvilWallet, startAnvil } from "../../helpers/anvil.ts";
import { serveHandler } from "../../helpers/http-server.ts";
import { until } from "../../helpers/promises.ts";
import { expectAsyncRejection, expectRejection } from "../../helpers/rejection.ts";

const secret = new Uint8Array(32).fill(5);
const MESSAGE = keystoreMessage({ wallet: anvilWallet(0).address, challenge: `0x${"ab".repeat(32)}` });

describe("wallets as signers", () => {
  let anvil: Anvil;
  before(async function () {
    this.timeout(60_000);
    anvil = await startAnvil();
  });
  after(async () => await anvil.kill());

  /** Fails each request with what a wallet of EIP-1193 fails with. */
  const failing = (code: unknown, message = "no"): Eip1193Provider => ({
    request: () => Promise.reject(Object.assign(new Error(message), { code })),
  });

  it("sign over JSON-RPC with anvil, whose accounts sign deterministically", async () => {
    const signer = eip1193Signer(httpWallet(anvil.url));
    const { address } = anvilWallet(3);
    expect(await signer.accounts()).to.include(address);
    const keystore = await sealKeystore(secret, await setUpWallet(signer, address), "user");
    const { wallets } = keystoreOpeners(keystore);
    expect(wallets.map(({ wallet }) => wallet)).to.deep.equal([address]);
    expect(await openKeystore(keystore, await openByWallet(wallets, signer))).to.deep.equal(secret);
  });

  it("sign with the provider of Hardhat's network, and what anvil signs for the account opens as well", async () => {
    const connection = await hre.network.create();
    try {
      const { provider } = connection;
      const signer = eip1193Signer({
        request: ({ method, params }) => provider.request({ method, params: [...(params ?? [])] }),
      });
      const { address } = anvilWallet(1);
      const keystore = await sealKeystore(secret, await setUpWallet(signer, address), "user");
      const { wallets } = keystoreOpeners(keystore);
      for (const one of [signer, eip1193Signer(httpWallet(anvil.url))]) {
        expect(await openKeystore(keystore, await openByWallet(wallets, one))).to.deep.equal(secret);
      }
    } finally {
      await connection.close();
    }
  });

  for (const [code, expected, isRetryable, message] of [
    [4001, "WALLET_REFUSED", false, /refused in the wallet/],
    [4100, "WALLET_REFUSED", false, /does not sign with this account/],
    [4200, "WALLET_UNSUITABLE", false, /does not know the method/],
    [-32601, "WALLET_UNSUITABLE", false, /does not know the method/],
    [4900, "WALLET_UNAVAILABLE", true, /disconnected/],
    [4901, "WALLET_UNAVAILABLE", true, /disconnected/],
    [-32002, "WALLET_UNAVAILABLE", true, /another request open/],
    [-32603, "WALLET_UNAVAILABLE", false, /the wallet failed/],
    [undefined, "WALLET_UNAVAILABLE", false, /the wallet failed/],
  ] as const satisfies readonly (readonly [unknown, ErrorCode, boolean, RegExp])[]) {
    it(`fail with ${expected} at the error ${code}, which ${isRetryable ? "passes" : "stays"}`, async () => {
      const signer = eip1193Signer(failing(code, "said the wallet"));
      for (const attempt of [() => signer.sign(MESSAGE.message.wallet, MESSAGE), () => signer.accounts()]) {
        const error = await expectAsyncRejection(attempt, expected, message);
        expect(error).to.include({ party: "wallet", retryable: isRetryable });
        expect(error.received).to.contain("said the wallet");
        expect(error.hint).to.not.equal(undefined);
      }
    });
  }

  it("fail when they throw what is no error", async () => {
    for (const thrown of ["no", undefined, null, 7, { code: "4001" }]) {
      const signer = eip1193Signer({ request: () => Promise.reject(thrown) });
      await expectAsyncRejection(() => signer.accounts(), "WALLET_UNAVAILABLE", /the wallet failed/);
    }
  });

  it("ask a wallet without eth_requestAccounts for eth_accounts", async () => {
    const { address } = anvilWallet(0);
    const asked: string[] = [];
    const signer = eip1193Signer({
      request: async ({ method }) => {
        asked.push(method);
        if (method === "eth_requestAccounts") throw Object.assign(new Error("unknown"), { code: -32601 });
        return [address.toLowerCase()];
      },
    });
    expect(await signer.accounts()).to.deep.equal([address]);
    expect(asked).to.deep.equal(["eth_requestAccounts", "eth_accounts"]);
  });

  it("are locked when they have no account, and unsuitable when they answer nonsense", async () => {
    const answering = (answer: unknown) => eip1193Signer({ request: () => Promise.resolve(answer) });
    const locked = await expectAsyncRejection(() => answering([]).accounts(), "WALLET_UNAVAILABLE", /no account/);
    expect(locked.hint).to.contain("unlock");
    for (const answer of [undefined, "0x", {}, [1], ["0x12"], [MESSAGE.message.wallet, "alice.eth"]]) {
      await expectAsyncRejection(() => answering(answer).accounts(), "WALLET_UNSUITABLE", /outside its protocol/);
    }
    for (const answer of [undefined, null, 7, { signature: "0x" }, "0".repeat(20_000)]) {
      const sign = () => answering(answer).sign(MESSAGE.message.wallet, MESSAGE);
      await expectAsyncRejection(sign, "WALLET_UNSUITABLE", /outside its protocol/);
    }
    const contract = { ...answering([MESSAGE.message.wallet]), sign: () => Promise.resolve(`0x${"00".repeat(130)}`) };
    await expectAsyncRejection(() => setUpWallet(contract), "WALLET_UNSUITABLE", /contract wallet/);
  });

  it("are asked over TLS, or on this machine", async () => {
    for (const url of ["http://wallet.example", "http://127.0.0.1.example:8545", "ftp://localhost", "wallet", ""]) {
      expectRejection(() => httpWallet(url), "INVALID_INPUT", /no address of a wallet/);
    }
    for (const url of ["https://wallet.example", "http://localhost:1248", "http://[::1]:1248"]) {
      expect(httpWallet(url)).to.have.property("request");
    }
    const signer = eip1193Signer(httpWallet("http://127.0.0.1:9"));
    const error = await expectAsyncRejection(() => signer.accounts(), "WALLET_UNAVAILABLE", /does not answer/);
    expect(error.retryable).to.equal(true);
  });

  it("are read up to a bound, whatever they announce, and nothing but JSON is taken from them", async () => {
    const piece = "x".repeat(16 * 1024);
    let isClosed = false;
    const { server, url } = await serveHandler((request, response) => {
      if (request.url === "/text") return void response.end("not JSON");
      if (request.url === "/announced") return void response.writeHead(200, { "content-length": 1e9 }).write(piece);
      response.once("close", () => {
        isClosed = true;
      });
      // Never ends by itself.
      const go = () => {
        while (!response.destroyed && response.write(piece));
      };
      response.on("drain", go);
      go();
    });
    try {
      for (const path of ["/endless", "/announced"]) {
        const signer = eip1193Signer(httpWallet(url + path));
        const error = await expectAsyncRejection(() => signer.accounts(), "BAD_RESPONSE", /a larger answer/);
        expect(error).to.include({ party: "wallet", check: "size of the answer" });
      }
      await until("the connection is given up", () => isClosed);
      const signer = eip1193Signer(httpWallet(`${url}/text`));
      const error = await expectAsyncRejection(() => signer.accounts(), "BAD_RESPONSE", /else than JSON/);
      expect(error.party).to.equal("wallet");
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
