import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const LOGGER = fileURLToPath(new URL("../../offchain/daemon/logger.ts", import.meta.url));

describe("daemon log", () => {
  it("goes to stderr, one JSON line each, without what could be a secret", () => {
    const script = `
      import { createLogger } from ${JSON.stringify(LOGGER)};
      const log = createLogger("test");
      log.info({ passphrase: "hush", config: { privateKey: "hush", seed: "hush" }, account: "0x1" }, "told");
      log.info({ req: { headers: { authorization: "Bearer hush" } }, keyShare: "hush", token: "hush" }, "told again");
    `;
    const run = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
    expect(run.status, run.stderr).to.equal(0);
    expect(run.stdout).to.equal("");
    const lines = run.stderr.trim().split("\n");
    expect(lines.map((line) => JSON.parse(line).msg)).to.deep.equal(["told", "told again"]);
    expect(run.stderr).to.include("0x1");
    expect(run.stderr).not.to.include("hush");
  });

  it("says of an error what explains it, and nothing of the request that a library attached", () => {
    const script = `
      import { createLogger } from ${JSON.stringify(LOGGER)};
      const log = createLogger("test");
      const inner = Object.assign(new Error("server response 502"), {
        code: "SERVER_ERROR",
        info: { requestUrl: "https://rpc.example.org/v2/hush", headers: { authorization: "hush" } },
      });
      const outer = new Error("reading https://rpc.example.org/v2/hush failed", { cause: inner });
      log.error({ err: outer }, "http://u:hush@h");
      log.info({ url: "https://rpc.example.org:1/?key=hush", list: ["wss://h/hush"] }, "told");
    `;
    const run = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
    expect(run.status, run.stderr).to.equal(0);
    expect(run.stderr).not.to.include("hush");
    const [error, info] = run.stderr
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(error.err.message).to.equal("reading https://rpc.example.org/… failed");
    expect(error.err.cause).to.include({ message: "server response 502", code: "SERVER_ERROR" });
    expect(error.err.stack).to.include("at ");
    expect(info).to.deep.include({ url: "https://rpc.example.org:1/…", list: ["wss://h/…"] });
  });
});
