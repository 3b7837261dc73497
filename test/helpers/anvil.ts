/**
 * A bare anvil on a loopback port, for tests that stop, starve or restart the chain itself, and a proxy in front of it
 * that misbehaves on request.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { HDNodeWallet } from "ethers";

const BINARY = fileURLToPath(new URL("../../node_modules/.bin/anvil", import.meta.url));
const CHAIN_ID = 31_337;
/** Anvil's well-known development phrase; accounts 0 to 9 hold 10,000 coins each. */
const PHRASE = "test test test test test test test test test test test junk";

/** Where each writes states that it no longer keeps in memory: about a megabyte a block. */
const running = new Map<ChildProcess, string>();
/** A test that fails before it has stopped its chain must leave neither it nor its states. */
process.once("exit", () => {
  for (const [child, states] of running) {
    child.kill("SIGKILL");
    removeStates(states);
  }
});

// It may still be writing.
const removeStates = (folder: string) => rmSync(folder, { recursive: true, force: true, maxRetries: 3 });

export interface Anvil {
  readonly url: string;
  readonly port: number;
  /** One JSON-RPC request. */
  rpc(method: string, params?: readonly unknown[]): Promise<unknown>;
  /** Ends the process at once, as a crash would. */
  kill(): Promise<void>;
}

/** Starts anvil. @param port 0 for any free one; a fixed one to restart a chain where it was. */
export async function startAnvil(args: readonly string[] = [], port = 0): Promise<Anvil> {
  const rules = args.includes("--hardfork") ? [] : ["--hardfork", "prague"];
  const states = mkdtempSync(join(tmpdir(), "tallystick-anvil-"));
  const own = ["--port", String(port), "--chain-id", String(CHAIN_ID), "--mnemonic", PHRASE, "--cache-path", states];
  const child = spawn(BINARY, [...own, ...rules, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  running.set(child, states);
  child.once("exit", () => {
    running.delete(child);
    removeStates(states);
  });
  const chosen = await listeningPort(child);
  const url = `http://127.0.0.1:${chosen}`;
  return {
    url,
    port: chosen,
    rpc: (method, params = []) => jsonRpc(url, method, params),
    kill: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

/** Private key of one of anvil's accounts. */
export function anvilKey(index: number): Uint8Array {
  return Uint8Array.from(Buffer.from(anvilWallet(index).privateKey.slice(2), "hex"));
}

export function anvilWallet(index: number): HDNodeWallet {
  return HDNodeWallet.fromPhrase(PHRASE, undefined, `m/44'/60'/0'/0/${index}`);
}

function listeningPort(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let output = "";
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`anvil ended with ${code}: ${output}`)));
    child.stdout?.on("data", (part: Buffer) => {
      output += part.toString();
      const found = /Listening on [^\s:]+:(\d+)/.exec(output);
      if (found !== null) resolve(Number(found[1]));
    });
  });
}

async function jsonRpc(url: string, method: string, params: readonly unknown[]): Promise<unknown> {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  });
  const body = (await answer.json()) as { result?: unknown; error?: { message: string } };
  if (body.error !== undefined) throw new Error(`${method}: ${body.error.message}`);
  return body.result;
}

/** What the proxy does with a request instead of passing it on and the answer back. */
export type Fault =
  | "drop-request" // the connection breaks before the node hears of it
  | "drop-answer" // the node has done it, but the answer is lost
  | "unavailable" // HTTP 503
  | { readonly error: { readonly code: number; readonly message: string } } // a JSON-RPC error in a 200 answer
  | HttpAnswer // an answer with any status
  | { readonly result: unknown }; // an answer that the node did not give

export interface HttpAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Text as it is; anything else as the JSON-RPC answer, with the request's id unless it has its own. */
  readonly body: unknown;
}

export interface FaultyProxy {
  readonly url: string;
  /** Decides for each request, in its own time; undefined passes it on. */
  fault: (method: string, params: readonly unknown[]) => Fault | undefined | Promise<undefined>;
  /** Methods that came in, in order. */
  readonly seen: string[];
  close(): Promise<void>;
}

/** A loopback HTTP proxy in front of a JSON-RPC endpoint. */
export async function startFaultyProxy(target: string): Promise<FaultyProxy> {
  const proxy = { url: "", fault: () => undefined, seen: [] as string[] } as Omit<FaultyProxy, "close"> & {
    url: string;
  };
  const server: Server = createServer((request, response) => {
    void pass(proxy, target, request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  proxy.url = `http://127.0.0.1:${address.port}`;
  return Object.assign(proxy, {
    close: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  });
}

async function pass(
  proxy: Pick<FaultyProxy, "fault" | "seen">,
  target: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  const body = Buffer.concat(pieces).toString();
  const { id, method, params } = JSON.parse(body) as { id: number; method: string; params: unknown[] };
  proxy.seen.push(method);
  const fault = await proxy.fault(method, params);
  if (fault === "drop-request") {
    response.destroy();
    return;
  }
  if (fault === "unavailable") {
    response.writeHead(503).end("overloaded");
    return;
  }
  if (typeof fault === "object" && "status" in fault) {
    const { status, headers = {}, body: answer } = fault;
    const text = typeof answer === "string" ? answer : JSON.stringify({ jsonrpc: "2.0", id, ...(answer as object) });
    response.writeHead(status, headers).end(text);
    return;
  }
  response.setHeader("content-type", "application/json");
  if (typeof fault === "object") {
    response.end(JSON.stringify({ jsonrpc: "2.0", id, ...fault }));
    return;
  }
  try {
    const answer = await fetch(target, { method: "POST", headers: { "content-type": "application/json" }, body });
    const text = await answer.text();
    if (fault === "drop-answer") response.destroy();
    else response.end(text);
  } catch {
    // The node is down: its clients see a broken connection, not an answer.
    response.destroy();
  }
}
