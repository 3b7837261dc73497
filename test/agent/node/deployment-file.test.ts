/** Where the deployment file is looked for, and that the documented document is read as it is. */

import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { findDeployment } from "../../../offchain/agent/node/deployment-file.ts";
import { parseDeployment } from "../../../offchain/chain/deployment.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import vector from "../../vectors/deployment.json" with { type: "json" };

const text = readFileSync(new URL("../../vectors/deployment.json", import.meta.url), "utf8");

const PROVIDER = { account: `0x${"5".repeat(40)}`, url: "http://127.0.0.1:4000" };
const DEVNET = { ...vector, chainId: 31337, rpcUrl: "http://127.0.0.1:8545", providers: [PROVIDER] };

function thrown(work: () => unknown): TallystickError {
  try {
    work();
  } catch (error) {
    if (error instanceof TallystickError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

/** Moves a file or folder away and links to it from its old place. */
function link(path: string): void {
  renameSync(path, `${path}.real`);
  symlinkSync(`${path}.real`, path);
}

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

  /** A devnet's file in a folder, as `npm run devnet` writes it. */
  function devnetIn(folder: string, document: object = DEVNET): string {
    mkdirSync(join(folder, ".tallystick"), { mode: 0o700, recursive: true });
    const file = join(folder, ".tallystick", "devnet.json");
    writeFileSync(file, JSON.stringify(document), { mode: 0o600 });
    return file;
  }

  it("is found where a devnet wrote it, from any folder below, after the home's", () => {
    const devnet = devnetIn(join(root, "project"));
    expect(findDeployment({ homeDir, workingDirectory })).to.deep.equal({
      file: devnet,
      deployment: DEVNET,
      ignored: [],
    });
    writeFileSync(join(homeDir, "deployment.json"), text);
    expect(findDeployment({ homeDir, workingDirectory }).file).to.equal(join(homeDir, "deployment.json"));
  });

  for (const [what, change] of [
    ["of another chain id", { chainId: 1 }],
    ["whose chain is not on this machine", { rpcUrl: "http://rpc.example.org:8545" }],
    ["whose chain only looks like this machine", { rpcUrl: "http://127.0.0.1.example.org:8545" }],
    ["whose provider is not on this machine", { providers: [{ ...PROVIDER, url: "http://10.0.0.7:4000" }] }],
  ] as const) {
    it(`passes over a devnet file ${what}, and says so`, () => {
      const own = devnetIn(join(root, "project"));
      const strange = devnetIn(workingDirectory, { ...DEVNET, ...change });
      const { file, ignored } = findDeployment({ homeDir, workingDirectory });
      expect(file).to.equal(own);
      expect(ignored).to.have.length(1);
      expect(ignored[0]).to.contain(strange).and.to.contain("does not describe a development chain");
    });
  }

  for (const [what, spoil] of [
    ["that any user may write to", (file: string) => chmodSync(file, 0o602)],
    ["whose folder the group may write to", (file: string) => chmodSync(join(file, ".."), 0o770)],
    ["that is a link", (file: string) => link(file)],
    ["whose folder is a link", (file: string) => link(join(file, ".."))],
  ] as const) {
    it(`passes over a devnet file ${what}`, () => {
      spoil(devnetIn(workingDirectory));
      const refused = thrown(() => findDeployment({ homeDir, workingDirectory }));
      expect(refused).to.include({ code: "NO_DEPLOYMENT" });
      expect(refused.received).to.contain(join(workingDirectory, ".tallystick"));
    });
  }

  for (const [what, ownAnswers] of [
    ["folder", 0],
    ["file", 1],
  ] as const) {
    it(`passes over a devnet ${what} of another user`, () => {
      devnetIn(workingDirectory);
      const { getuid } = process;
      if (getuid === undefined) throw new Error("this system has no user ids");
      const user = getuid();
      let asked = 0;
      // Only root could give the file away; so the user is another one instead.
      process.getuid = () => (asked++ < ownAnswers ? user : user + 1);
      try {
        const refused = thrown(() => findDeployment({ homeDir, workingDirectory }));
        expect(refused.received).to.contain("belongs to another user");
      } finally {
        process.getuid = getuid;
      }
    });
  }

  it("is said to be unreadable, not absent, when it cannot be read, and in what way", () => {
    const named = join(root, "named.json");
    symlinkSync(named, named);
    const unseen = thrown(() => findDeployment({ homeDir, workingDirectory, named }));
    expect(unseen).to.include({ code: "NO_DEPLOYMENT", received: "ELOOP" });
    expect(unseen.message).to.contain(`${named} cannot be read: `);
    rmSync(named);
    mkdirSync(named);
    const folder = thrown(() => findDeployment({ homeDir, workingDirectory, named }));
    expect(folder.message).to.equal(`deployment file ${named} cannot be read: it is a folder`);
    rmSync(named, { recursive: true });
    writeFileSync(named, "{");
    const cut = thrown(() => findDeployment({ homeDir, workingDirectory, named }));
    expect(cut.message).to.equal(`deployment file ${named} is not JSON`);
    rmSync(named);
    const absent = thrown(() => findDeployment({ homeDir, workingDirectory, named }));
    expect(absent).to.include({ message: "no deployment file found", expected: named });
  });

  it("is only the named one, if one is named", () => {
    const named = join(root, "named.json");
    writeFileSync(join(homeDir, "deployment.json"), text);
    expect(() => findDeployment({ named, homeDir, workingDirectory })).to.throw(/no deployment file/);
    writeFileSync(named, JSON.stringify({ ...vector, committeeId: "2" }));
    expect(findDeployment({ named, homeDir, workingDirectory }).deployment.committeeId).to.equal("2");
    process.env.TALLYSTICK_DEPLOYMENT = named;
    expect(findDeployment({ homeDir, workingDirectory }).file).to.equal(named);
  });
});
