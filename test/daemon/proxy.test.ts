/** Proxies from the environment, for the requests of daemons and of the command line, and for `fetch`. */

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { useProxyFromEnvironment } from "../../offchain/chain/node-proxy.ts";
import { createDaemonKeystore } from "../../offchain/daemon/keystore-file.ts";
import { programPath } from "../../scripts/programs.ts";
import { startDaemonProcess } from "../helpers/daemon-process.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { rejection } from "../helpers/rejection.ts";

const SOURCE = join(import.meta.dirname, "third-daemon.ts");
const PROXY_MODULE = new URL("../../offchain/chain/node-proxy.ts", import.meta.url);

interface StartedProxy {
  readonly proxy: Server;
  readonly url: string;
  /** Hosts that it was asked for. */
  readonly hosts: string[];
  /** `Authorization` headers of requests to them. */
  readonly authorizations: Set<string>;
}

/** A proxy that takes every host for the chain's, and remembers which ones it was asked for. */
async function startProxy(target: URL): Promise<StartedProxy> {
  const hosts: string[] = [];
  const authorizations = new Set<string>();
  const proxy = createServer(async (request, response) => {
    hosts.push(new URL(request.url ?? "").hostname);
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const headers = { "content-type": "application/json" };
    const answer = await fetch(target, { method: "POST", headers, body: Buffer.concat(parts) });
    response.writeHead(answer.status, headers).end(await answer.text());
  });
  proxy.on("connect", (request, socket) => {
    hosts.push(String(request.url).split(":")[0] ?? "");
    const onward = connect(Number(target.port), target.hostname, () => {
      socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      socket.pipe(onward).pipe(socket);
    });
    socket.on("data", (piece: Buffer) => {
      for (const [, value = ""] of piece.toString().matchAll(/^authorization: (.+?)\r$/gim)) authorizations.add(value);
    });
    for (const end of [socket, onward]) end.on("error", () => socket.destroy());
  });
  await new Promise<void>((resolve) => {
    proxy.listen(0, "127.0.0.1", () => resolve());
  });
  return { proxy, url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, hosts, authorizations };
}

describe("proxy from the environment", () => {
  let local: LocalChain;
  let running: Awaited<ReturnType<typeof startProxy>>;

  before(async () => {
    local = await startLocalChain();
    running = await startProxy(new URL(local.rpcUrl));
  });
  after(async () => {
    running?.proxy.closeAllConnections();
    running?.proxy.close();
    await local?.stop();
  });
  beforeEach(() => {
    running.hosts.length = 0;
    running.authorizations.clear();
  });

  it("carries the requests of a daemon to its chain", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tallystick-proxy-"));
    try {
      const passphrase = "counters in tests";
      await createDaemonKeystore(join(folder, "keystore.json"), passphrase, "counter", { n: 2, r: 8, p: 1 });
      const deployment = { ...local.deployment, rpcUrl: "http://chain.test/" };
      writeFileSync(join(folder, "deployment.json"), JSON.stringify(deployment));
      const config = {
        listen: { host: "127.0.0.1", port: 0 },
        dataDir: "data",
        deploymentFile: "deployment.json",
        keystoreFile: "keystore.json",
        firstBlock: 0,
      };
      writeFileSync(join(folder, "config.json"), JSON.stringify(config));
      const environment = { TALLYSTICK_PASSPHRASE: passphrase, HTTP_PROXY: running.url };
      const daemon = await startDaemonProcess(SOURCE, join(folder, "config.json"), environment);
      try {
        const health = await fetch(`${daemon.url}/healthz`);
        expect(await health.json())
          .to.deep.include({ ok: true })
          .and.to.have.nested.property("checks.chain", "ok");
      } finally {
        await daemon.end();
      }
      expect(running.hosts).to.include("chain.test");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("carries the requests of the command line", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tallystick-proxy-"));
    try {
      const deployment = join(folder, "deployment.json");
      writeFileSync(deployment, JSON.stringify({ ...local.deployment, rpcUrl: "http://us%65r:secret@chain.test/" }));
      const args = ["--disable-warning=ExperimentalWarning", programPath("tallystick"), "init", "--json"];
      const env = { ...process.env, TALLYSTICK_PASSPHRASE: "a passphrase", HTTP_PROXY: running.url };
      const home = ["--home", join(folder, "home"), "--deployment", deployment];
      const { stdout } = await promisify(execFile)(process.execPath, [...args, ...home], { env });
      // A new account gets coins when the development chain could be asked.
      expect(JSON.parse(stdout)).to.include({ developmentFunds: true });
      expect(new Set(running.hosts)).to.deep.equal(new Set(["chain.test"]));
      // User information in the address of an endpoint becomes a header, as without a proxy.
      expect(running.authorizations).to.deep.equal(new Set([`Basic ${btoa("user:secret")}`]));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  /** Asks the chain for its id with fetch, in a process of its own. */
  async function fetchChainId(url: string, environment: Record<string, string>): Promise<string> {
    const script = `
      import { useProxyFromEnvironment } from ${JSON.stringify(PROXY_MODULE.href)};
      await useProxyFromEnvironment();
      const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_chainId", params: [] });
      const headers = { "content-type": "application/json" };
      const answer = await fetch(${JSON.stringify(url)}, { method: "POST", headers, body });
      process.stdout.write((await answer.json()).result);
    `;
    const env = { ...process.env, ...environment };
    return (await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], { env })).stdout;
  }

  it("carries fetch, and leaves hosts in NO_PROXY alone", async () => {
    expect(await fetchChainId("http://node.test/", { http_proxy: running.url })).to.equal("0x7a69");
    expect(new Set(running.hosts)).to.deep.equal(new Set(["node.test"]));
    running.hosts.length = 0;
    const direct = { HTTP_PROXY: running.url, NO_PROXY: "localhost,127.0.0.1" };
    expect(await fetchChainId(local.rpcUrl, direct)).to.equal("0x7a69");
    expect(running.hosts).to.deep.equal([]);
  });

  for (const [name, value] of [
    ["HTTP_PROXY", "http://user:secret@proxy:99999"],
    ["https_proxy", '"http://proxy:8080"'],
    ["HTTPS_PROXY", "socks5://127.0.0.1:1080"],
  ] as const) {
    it(`refuses ${name}=${value.replace("secret", "…")} by name, and does not show its value`, async () => {
      const error = await rejection(useProxyFromEnvironment({ [name]: value }));
      expect(error).to.include({ code: "INVALID_INPUT", check: name });
      expect(JSON.stringify(error)).to.not.contain("secret").and.to.not.contain("proxy:8080");
    });
  }
});
