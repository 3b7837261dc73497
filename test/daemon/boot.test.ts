/** The boot sequence that all daemons share, with a third daemon that is nothing but this sequence. */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { hexlify, randomBytes, Wallet } from "ethers";
import { pino } from "pino";
import { TallystickError } from "../../offchain/core/errors.ts";
import { startDaemon } from "../../offchain/daemon/boot.ts";
import type { LocalDatabase } from "../../offchain/daemon/database.ts";
import { createDaemonKeystore } from "../../offchain/daemon/keystore-file.ts";
import { sessionMessage } from "../../offchain/http/sessions.ts";
import { startDaemonProcess } from "../helpers/daemon-process.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { until } from "../helpers/promises.ts";
import { counterProgram } from "./third-daemon.ts";

const SOURCE = join(import.meta.dirname, "third-daemon.ts");
const PASSPHRASE = "counters in tests";

describe("daemon boot", () => {
  let local: LocalChain;
  let folder: string;
  let operator: string;
  const configFile = () => join(folder, "config.json");

  before(async () => {
    local = await startLocalChain();
  });
  after(() => local?.stop());
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-counter-"));
    operator = await createDaemonKeystore(join(folder, "keystore.json"), PASSPHRASE, "counter", { n: 2, r: 8, p: 1 });
    writeFileSync(join(folder, "deployment.json"), JSON.stringify(local.deployment));
    const config = {
      listen: { host: "127.0.0.1", port: 0 },
      dataDir: "data",
      deploymentFile: "deployment.json",
      keystoreFile: "keystore.json",
      firstBlock: 0,
    };
    writeFileSync(configFile(), JSON.stringify(config));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it("runs a daemon of at most sixty lines that serves, does background work and stops on SIGTERM", async () => {
    expect(readFileSync(SOURCE, "utf8").trimEnd().split("\n").length).to.be.at.most(60);
    const daemon = await startDaemonProcess(SOURCE, configFile(), { TALLYSTICK_PASSPHRASE: PASSPHRASE });
    try {
      const health = await (await fetch(`${daemon.url}/healthz`)).json();
      expect(health).to.deep.include({ ok: true }).and.to.have.nested.property("checks.chain", "ok");
      const { seen } = (await (await fetch(`${daemon.url}/v1/blocks`)).json()) as { seen: number };
      expect(seen).to.be.greaterThan(0);
    } finally {
      expect(await daemon.end("SIGTERM"), daemon.log()).to.equal(0);
    }
  });

  it("starts in the process of whoever imports it, and closes everything that it opened", async () => {
    process.env.TALLYSTICK_PASSPHRASE = PASSPHRASE;
    const logger = pino({ level: "silent" });
    const config = counterProgram.load(configFile());
    const databases: LocalDatabase[] = [];
    let runs = 0;
    const watched = {
      ...counterProgram,
      build: async (base: Parameters<typeof counterProgram.build>[0]) => {
        databases.push(base.database);
        const work = await counterProgram.build(base);
        const run = async () => {
          runs += 1;
        };
        return { ...work, background: [...(work.background ?? []), { name: "watched", run }] };
      },
    };
    const daemon = await startDaemon(watched, config, logger);
    expect(daemon.operator).to.equal(operator);
    expect((await fetch(`${daemon.url}/healthz`)).status).to.equal(200);
    await until("the background work ran", () => runs > 0);
    await daemon.close();
    const ended = runs;
    expect(databases).to.have.length(1);
    for (const database of databases) expect(() => database.handle.prepare("SELECT 1")).to.throw(/not open/);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(runs).to.equal(ended);
    // The port is free and the folder's lock is gone: it starts again over the same state.
    process.env.TALLYSTICK_PASSPHRASE = PASSPHRASE;
    const again = await startDaemon(counterProgram, config, logger);
    await again.close();
  });

  it("overwrites the secret of the keystore once the parts are built, and not before", async () => {
    process.env.TALLYSTICK_PASSPHRASE = PASSPHRASE;
    const secrets: Uint8Array[] = [];
    const watched = {
      ...counterProgram,
      build: async (base: Parameters<typeof counterProgram.build>[0]) => {
        const work = await counterProgram.build(base);
        expect(base.secret.some((byte) => byte !== 0)).to.equal(true);
        secrets.push(base.secret);
        return work;
      },
    };
    const daemon = await startDaemon(watched, watched.load(configFile()), pino({ level: "silent" }));
    await daemon.close();
    expect(secrets).to.deep.equal([new Uint8Array(32)]);
  });

  it("closes what it had opened when the start fails", async () => {
    const logger = pino({ level: "silent" });
    const config = counterProgram.load(configFile());
    const broken = { ...counterProgram, build: () => Promise.reject(new Error("a part does not start")) };
    process.env.TALLYSTICK_PASSPHRASE = PASSPHRASE;
    const failure = await startDaemon(broken, config, logger).catch((error: unknown) => error);
    expect(failure).to.have.property("message", "a part does not start");
    process.env.TALLYSTICK_PASSPHRASE = PASSPHRASE;
    const daemon = await startDaemon(counterProgram, config, logger);
    await daemon.close();
  });

  describe("sessions", () => {
    const config = () => counterProgram.load(configFile());
    const start = (over: Partial<ReturnType<typeof config>> = {}) => {
      process.env.TALLYSTICK_PASSPHRASE = PASSPHRASE;
      return startDaemon(counterProgram, { ...config(), ...over }, pino({ level: "silent" }));
    };

    async function open(url: string, signer: Wallet, signature?: string): Promise<{ status: number; error: unknown }> {
      const { chainId, contracts } = local.deployment;
      const expiresAt = Math.floor(Date.now() / 1000) + 600;
      const message = { account: signer.address, audience: operator, nonce: hexlify(randomBytes(32)), expiresAt };
      const typed = sessionMessage({ chainId: BigInt(chainId), contract: contracts.keyLedger }, message);
      const signed = signature ?? (await signer.signTypedData(typed.domain, typed.types, typed.message));
      const answer = await fetch(`${url}/v1/sessions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ ...message, signature: signed }),
      });
      const { error } = (await answer.json()) as { error?: { code: string } };
      return { status: answer.status, error: error?.code };
    }

    const newWallet = () => new Wallet(hexlify(randomBytes(32)));

    it("are opened by the accounts that the configuration admits, and by no others", async () => {
      const [listed, other] = [newWallet(), newWallet()];
      const daemon = await start({ admission: { mode: "allow-list", accounts: [listed.address] } });
      try {
        expect(await open(daemon.url, listed)).to.deep.equal({ status: 200, error: undefined });
        expect(await open(daemon.url, other)).to.deep.equal({ status: 403, error: "NOT_ADMITTED" });
      } finally {
        await daemon.close();
      }
    });

    it("ask the chain about few signatures of one account, which keeps no other account out", async () => {
      const daemon = await start();
      try {
        const wrong = `0x${"11".repeat(64)}1b`;
        const stranger = newWallet();
        const statuses = [];
        for (let asked = 0; asked < 20; asked += 1) statuses.push((await open(daemon.url, stranger, wrong)).status);
        expect(statuses.slice(0, 10).filter((status) => status !== 401)).to.deep.equal([]);
        expect(statuses.at(-1)).to.equal(429);
        expect((await open(daemon.url, newWallet(), wrong)).status).to.equal(401);
        expect((await open(daemon.url, newWallet())).status).to.equal(200);
      } finally {
        await daemon.close();
      }
    });
  });

  describe("binding of the keystore", () => {
    const logger = pino({ level: "silent" });
    const bindingFile = () => join(folder, "keystore.deployment.json");
    const start = () => {
      process.env.TALLYSTICK_PASSPHRASE = PASSPHRASE;
      return startDaemon(counterProgram, counterProgram.load(configFile()), logger);
    };
    const refusal = async () => {
      const error = await start().catch((cause: unknown) => cause);
      expect(error).to.be.instanceOf(TallystickError);
      return error as TallystickError;
    };

    it("records chain, contracts, block of the deployment and operator at the first start", async () => {
      await (await start()).close();
      const { chainId, contracts, deployedAtBlock } = local.deployment;
      const block = await local.chain.provider.getBlock(deployedAtBlock);
      expect(JSON.parse(readFileSync(bindingFile(), "utf8"))).to.deep.equal({
        chainId,
        keyLedger: contracts.keyLedger.toLowerCase(),
        deployedAtBlockHash: block?.hash,
        operator,
      });
      await (await start()).close();
    });

    it("refuses the keystore at another deployment of the same chain, with a new data folder", async () => {
      await (await start()).close();
      const contracts = { ...local.deployment.contracts, keyLedger: local.deployment.contracts.nodeRegistry };
      writeFileSync(join(folder, "deployment.json"), JSON.stringify({ ...local.deployment, contracts }));
      rmSync(join(folder, "data"), { recursive: true });
      const error = await refusal();
      expect(error).to.include({ code: "CONFLICT" });
      expect(error.expected).to.include(local.deployment.contracts.keyLedger.toLowerCase());
      expect(error.hint).to.include("init");
      expect(existsSync(join(folder, "data"))).to.equal(false);
    });

    it("refuses the keystore on a chain whose block of the deployment is another one", async () => {
      await (await start()).close();
      const bound = JSON.parse(readFileSync(bindingFile(), "utf8"));
      const recorded = JSON.stringify({ ...bound, deployedAtBlockHash: `0x${"11".repeat(32)}` });
      writeFileSync(bindingFile(), `${recorded}\n`);
      expect((await refusal()).code).to.equal("CONFLICT");
      expect(readFileSync(bindingFile(), "utf8")).to.equal(`${recorded}\n`);
    });

    it("does not start while the chain lacks the block of the deployment", async () => {
      const later = { ...local.deployment, deployedAtBlock: 1_000_000 };
      writeFileSync(join(folder, "deployment.json"), JSON.stringify(later));
      expect((await refusal()).code).to.equal("NO_DEPLOYMENT");
      expect(existsSync(bindingFile())).to.equal(false);
    });
  });
});
