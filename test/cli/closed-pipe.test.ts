/** A listing whose reader stops early, as `| head` does. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect } from "chai";

const OUTPUT = join(import.meta.dirname, "..", "..", "offchain", "cli", "output.ts");

describe("a listing into a pipe that is closed", () => {
  it("ends, and says nothing", async () => {
    const script = `
      const { createOutput, onOutputError } = await import(${JSON.stringify(OUTPUT)});
      process.stdout.on("error", onOutputError);
      const output = createOutput(false, true);
      for (let k = 0; k < 20_000; k += 1) await output.line("a line that is long enough to fill the pipe " + k);
    `;
    const child = spawn(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", script],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    let stderr = "";
    child.stderr.on("data", (piece: Buffer) => {
      stderr += piece.toString();
    });
    await once(child.stdout, "data");
    child.stdout.destroy();
    const [code] = await once(child, "exit");
    expect([code, stderr]).to.deep.equal([0, ""]);
  });
});
