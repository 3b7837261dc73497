/** Where the deployment file is looked for, and that the documented document is read as it is. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { findDeployment } from "../../../offchain/agent/node/deployment-file.ts";
import { parseDeployment } from "../../../offchain/chain/deployment.ts";
import vector from "../../vectors/deployment.json" with { type: "json" };

const text = readFileSync(new URL("../../vectors/deployment.json", import.meta.url), "utf8");

describe("deployment file", () => {
  let root: string;
  let homeDir: string;
  let workingDirectory: string;
  let fromEnvironment: string | undefined;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "tallystick-deployment-"));
    homeDir = join(root, "home");
    workingDirectory = join(root, "project", "deep", "below");
    for (const folder of [homeDir, workingDirectory]) mkdirSync(folder, { recursive: true });
    fromEnvironment = process.env.TALLYSTICK_DEPLOYMENT;
    delete process.env.TALLYSTICK_DEPLOYMENT;
  });
  afterEach(() => {
    if (fromEnvironment === undefined) delete process.env.TALLYSTICK_DEPLOYMENT;
    else process.env.TALLYSTICK_DEPLOYMENT = fromEnvironment;
    rmSync(root, { recursive: true, force: true });
  });

  it("is read as documented", () => {
    expect(parseDeployment(JSON.parse(text))).to.deep.equal(vector);
  });

  it("is found where a devnet wrote it, from any folder below, before the home's", () => {
    writeFileSync(join(homeDir, "deployment.json"), text);
    expect(findDeployment({ homeDir, workingDirectory }).file).to.equal(join(homeDir, "deployment.json"));
    const devnet = join(root, "project", ".tallystick", "devnet.json");
    mkdirSync(join(devnet, ".."));
    writeFileSync(devnet, text);
    expect(findDeployment({ homeDir, workingDirectory })).to.deep.equal({ file: devnet, deployment: vector });
  });

  it("is the one that is named, and no other", () => {
    const named = join(root, "named.json");
    writeFileSync(join(homeDir, "deployment.json"), text);
    expect(() => findDeployment({ named, homeDir, workingDirectory })).to.throw(/no deployment file/);
    writeFileSync(named, JSON.stringify({ ...vector, committeeId: "2" }));
    expect(findDeployment({ named, homeDir, workingDirectory }).deployment.committeeId).to.equal("2");
    process.env.TALLYSTICK_DEPLOYMENT = named;
    expect(findDeployment({ homeDir, workingDirectory }).file).to.equal(named);
  });
});
