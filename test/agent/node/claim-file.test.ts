/** A recovery that is under way, on disk: it goes on after a restart, and is nobody else's. */

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { claimIn, claimPath, readClaim, removeClaim } from "../../../offchain/agent/node/claim-file.ts";
import { parseDeployment } from "../../../offchain/chain/deployment.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { expectAsyncRejection, expectRejection } from "../../helpers/rejection.ts";
import deploymentVector from "../../vectors/deployment.json" with { type: "json" };

const COST = { n: 2, r: 8, p: 1 };
const PASSPHRASE = "a passphrase";
const CLAIMED = { account: "0x00000000000000000000000000000000DeaDBeef", path: "wallet" as const };

describe("the claim in a home folder", () => {
  let home: string;
  const deployment = parseDeployment(deploymentVector);
  const claim = (changed: object = {}, passphrase = PASSPHRASE, on = deployment) =>
    claimIn(home, passphrase, on, { ...CLAIMED, ...changed }, COST);

  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "tallystick-claim-"));
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  it("has the same requester and session key in each run, and is for its owner alone", async () => {
    const first = await claim();
    const again = await claim();
    expect(again.identity.account).to.equal(first.identity.account);
    expect(toHex(again.identity.hpkePublicKey)).to.equal(toHex(first.identity.hpkePublicKey));
    expect(again.claim).to.deep.equal(first.claim);
    expect(statSync(claimPath(home)).mode & 0o777).to.equal(0o600);
    const text = readFileSync(claimPath(home), "utf8");
    expect(text).to.not.contain(toHex(first.identity.phraseEntropy).slice(2));
    removeClaim(home);
    expect(readClaim(home)).to.equal(undefined);
    expect((await claim()).identity.account).to.not.equal(first.identity.account);
  });

  it("is not taken for that of another account, way, chain or policy, nor opened by another passphrase", async () => {
    await claim();
    const { contracts } = deployment;
    await expectAsyncRejection(() => claim({ account: contracts.keyLedger }), "CONFLICT");
    await expectAsyncRejection(() => claim({ path: "guardians" }), "CONFLICT");
    await expectAsyncRejection(() => claim({}, PASSPHRASE, { ...deployment, chainId: 5 }), "CONFLICT");
    const moved = { ...deployment, contracts: { ...contracts, recoveryPolicy: contracts.keyLedger } };
    await expectAsyncRejection(() => claim({}, PASSPHRASE, moved), "CONFLICT");
    await expectAsyncRejection(() => claim({}, "another passphrase"), "WRONG_PASSPHRASE");
  });

  it("is refused when it is damaged or of another version, and never replaced", async () => {
    const { claim: written } = await claim();
    for (const [text, code] of [
      ["{", "INVALID_INPUT"],
      [JSON.stringify({ ...written, account: "nobody" }), "INVALID_INPUT"],
      [JSON.stringify({ ...written, path: "phrase" }), "INVALID_INPUT"],
      [JSON.stringify({ ...written, version: 2 }), "UNKNOWN_VERSION"],
    ] as const) {
      writeFileSync(claimPath(home), text);
      const refused = expectRejection(() => readClaim(home), code);
      expect(refused.expected ?? "").to.not.match(/expected/i);
      await expectAsyncRejection(() => claim(), code);
      expect(readFileSync(claimPath(home), "utf8")).to.equal(text);
    }
  });
});
