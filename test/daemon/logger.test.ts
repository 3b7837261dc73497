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
});
