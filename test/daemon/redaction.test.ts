/** The key in the address of an RPC endpoint, in everything that a daemon writes while the endpoint fails. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { createDaemonKeystore } from "../../offchain/daemon/keystore-file.ts";
import { startDaemonProcess } from "../helpers/daemon-process.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { until } from "../helpers/promises.ts";

const SOURCE = join(import.meta.dirname, "third-daemon.ts");
const LEAKING_SOURCE = join(import.meta.dirname, "leaking-daemon.ts");
const ENVIRONMENT = { TALLYSTICK_PASSPHRASE: "counters in tests", TALLYSTICK_LOG_LEVEL: "trace" };
const KEY = "s3cr3tk3y";

describe("redaction of a daemon", () => {
  let local: LocalChain;
  let endpoint: Server;
  let status: number;
  let folder: string;
  const configFile = () => join(folder, "config.json");

  before(async () => {
    local = await startLocalChain();
    endpoint = createServer(async (request, response) => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      if (status !== 200) return response.writeHead(status).end(`upstream ${request.url} failed`);
      const headers = { "content-type": "application/json" };
      const answer = await fetch(local.rpcUrl, { method: "POST", headers, body: Buffer.concat(parts) });
      return response.writeHead(200, headers).end(await answer.text());
    });
    await new Promise<void>((resolve) => {
      endpoint.listen(0, "127.0.0.1", () => resolve());
    });
    folder = mkdtempSync(join(tmpdir(), "tallystick-redaction-"));
    const cost = { n: 2, r: 8, p: 1 };
    await createDaemonKeystore(join(folder, "keystore.json"), ENVIRONMENT.TALLYSTICK_PASSPHRASE, "counter", cost);
    const rpcUrl = `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}/v2/${KEY}?token=${KEY}`;
    writeFileSync(join(folder, "deployment.json"), JSON.stringify({ ...local.deployment, rpcUrl }));
    const config = {
      listen: { host: "127.0.0.1", port: 0 },
      dataDir: "data",
      deploymentFile: "deployment.json",
      keystoreFile: "keystore.json",
      firstBlock: 0,
    };
    writeFileSync(configFile(), JSON.stringify(config));
  });
  after(async () => {
    endpoint?.closeAllConnections();
    endpoint?.close();
    await local?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it("keeps the key out of log and health while a running daemon meets 502, and logs the failure once", async () => {
    status = 200;
    const daemon = await startDaemonProcess(SOURCE, configFile(), ENVIRONMENT);
    try {
      status = 502;
      const answers = [];
      for (let k = 0; k < 3; k++) {
        const response = await fetch(`${daemon.url}/healthz`);
        answers.push(await response.text());
        expect(response.status).to.equal(503);
        await pause(300);
      }
      expect(answers.join()).not.to.include(KEY);
      const lines = daemon.log().split("\n");
      const failed = (message: string) => lines.filter((line) => line.includes(message)).length;
      expect(failed("background work failed"), daemon.log()).to.equal(1);
      expect(failed('"part":"health check chain"')).to.equal(1);
      expect(daemon.log()).to.include("127.0.0.1").and.not.to.include(KEY);
    } finally {
      await daemon.end("SIGKILL");
    }
  });

  it("keeps the key out of the log where a part that knows nothing of redaction puts it into its error", async () => {
    status = 200;
    const daemon = await startDaemonProcess(LEAKING_SOURCE, configFile(), ENVIRONMENT);
    try {
      await until("the foreign part is logged", () => daemon.log().includes("foreign part"));
      const { host } = new URL(`http://127.0.0.1:${(endpoint.address() as AddressInfo).port}`);
      expect(daemon.log()).to.include(`GET http://${host}/… failed`).and.to.include(`no answer from http://${host}/…`);
      expect(daemon.log()).not.to.include(KEY);
    } finally {
      await daemon.end("SIGKILL");
    }
  });

  it("keeps the key out of the message of a start that fails with 502", async () => {
    status = 502;
    const failure = await startDaemonProcess(SOURCE, configFile(), ENVIRONMENT).catch((error: unknown) => error);
    expect(String(failure)).to.include("the daemon ended with 1").and.to.include("CHAIN_UNAVAILABLE");
    expect(String(failure)).not.to.include(KEY);
  });
});
