/** The configuration of a verifier. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { loadVerifierConfig } from "../../offchain/verifier/config.ts";

const TOKEN = `0x${"Ab".repeat(20)}`;

describe("configuration of a verifier", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-verifier-config-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  function load(config: Record<string, unknown>) {
    const common = {
      listen: { host: "127.0.0.1", port: 0 },
      dataDir: "data",
      deploymentFile: "deployment.json",
      keystoreFile: "keystore.json",
    };
    const file = join(folder, "config.json");
    writeFileSync(file, JSON.stringify({ ...common, ...config }));
    return loadVerifierConfig(file);
  }

  it("is that of a verifier alone, which admits nobody to a session and loses nothing, unless it says more", () => {
    const config = load({});
    expect(config.group).to.deep.equal({ self: "alone", members: [{ id: "alone" }] });
    expect(config.admission).to.deep.equal({ mode: "allow-list", accounts: [] });
    expect(config.minimumProfitWei).to.equal(0n);
    expect(() => load({ admission: { mode: "open" } })).to.throw(/unknown field \/admission/);
  });

  it("may allow a loss, and says what tokens are worth", () => {
    const config = load({ minimumProfitWei: "-5", tokenPrices: [{ token: TOKEN, unitsPerEther: "3000000000" }] });
    expect(config.minimumProfitWei).to.equal(-5n);
    expect([...config.unitsPerEther]).to.deep.equal([[TOKEN.toLowerCase(), 3_000_000_000n]]);
    expect(() => load({ minimumProfitWei: "-0" })).to.throw(/minimumProfitWei/);
    expect(() => load({ tokenPrices: [{ token: TOKEN, unitsPerEther: "0" }] })).to.throw(/has no price/);
  });

  it("is refused when its group would leave duties to nobody", () => {
    const members = [{ id: "a" }, { id: "b", url: "https://b.example.org" }];
    expect(load({ group: { self: "b", members } }).group.members).to.deep.equal(members);
    expect(() => load({ group: { self: "c", members } })).to.throw(/group of verifiers does not fit/);
    expect(() => load({ group: { self: "a", members: [...members, { id: "a" }] } })).to.throw(/does not fit/);
    expect(() => load({ group: { self: "a b", members } })).to.throw(/\/group\/self/);
  });
});
