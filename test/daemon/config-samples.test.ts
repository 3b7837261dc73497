/** docs/operating.md and the sample configurations, held against the schemas that the daemons read with. */
import { readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import { expect } from "chai";
import { CspConfigSchema, DataSetTermsSchema, loadCspConfig, OfferTermsSchema } from "../../offchain/csp/config.ts";
import { QuotasSchema } from "../../offchain/csp/quotas.ts";
import { daemonConfigFields } from "../../offchain/daemon/config.ts";
import { loadNbmConfig, NbmConfigSchema } from "../../offchain/nbm/config.ts";
import { loadVerifierConfig, VerifierConfigSchema } from "../../offchain/verifier/config.ts";

const ROOT = resolve(import.meta.dirname, "..", "..");
const sample = (name: string) => resolve(ROOT, "examples", name);

/** Field and default of the rows of the tables under a sentence. */
function rowsAfter(heading: string): Map<string, string> {
  const document = readFileSync(resolve(ROOT, "docs", "operating.md"), "utf8");
  const [, after = ""] = document.split(heading);
  const table = /\n\n((?:\|.*\n)+)/.exec(after)?.[1] ?? "";
  return new Map(
    [...table.matchAll(/^\| `([\w.]+)` \| (.*?) ?\|/gm)].map(([, field = "", value = ""]) => [field, value]),
  );
}

/** Every default that a table states is the one of a configuration that leaves the field out. */
function expectDefaults(rows: Map<string, string>, config: object, given: object): void {
  for (const [field, stated] of rows) {
    const read = (from: unknown) =>
      field.split(".").reduce((value, part) => (value as Record<string, unknown>)?.[part], from);
    if (stated === "required" || stated === "") continue;
    expect(read(given), `${field} is in the sample`).to.equal(undefined);
    const value = field === "store" ? withPathAsGiven(read(config)) : read(config);
    expect(value, field).to.deep.equal(JSON.parse(stated.replaceAll("`", "")));
  }
}

/** A configuration that was read has absolute paths. */
function withPathAsGiven(store: unknown): unknown {
  const { path, ...rest } = store as { path: string };
  return { ...rest, path: basename(path) };
}

describe("operating manual", () => {
  it("has a sample configuration of a node, every field and every default", () => {
    const rows = rowsAfter("Fields of a node:");
    const given = JSON.parse(readFileSync(sample("nbm.json"), "utf8"));
    const config = loadNbmConfig(sample("nbm.json"));
    expect(config.formCommittee).to.deep.include({ threshold: 3 });
    const fields = Object.keys(NbmConfigSchema.properties).filter((field) => !(field in daemonConfigFields));
    expect([...rows.keys()]).to.have.members(fields);
    expectDefaults(rows, config, given);
  });

  it("has a sample configuration of a provider, every field and every default", () => {
    const rows = rowsAfter("Fields of a provider:");
    const given = JSON.parse(readFileSync(sample("csp.json"), "utf8"));
    const config = loadCspConfig(sample("csp.json"));
    const own = Object.keys(CspConfigSchema.properties).filter((field) => !(field in daemonConfigFields));
    const offer = Object.keys(OfferTermsSchema.properties)
      .filter((field) => field !== "dataSets")
      .map((field) => `offer.${field}`);
    const dataSets = Object.keys(DataSetTermsSchema.properties).map((field) => `offer.dataSets.${field}`);
    const quotas = Object.keys(QuotasSchema.properties).map((field) => `quotas.${field}`);
    expect([...rows.keys()]).to.have.members([
      ...own.filter((field) => field !== "quotas"),
      ...offer,
      ...dataSets,
      ...quotas,
    ]);
    expectDefaults(rows, config, given);
  });

  it("has a sample configuration of a verifier, every field and every default", () => {
    const rows = rowsAfter("Fields of a verifier:");
    const given = JSON.parse(readFileSync(sample("verifier.json"), "utf8"));
    const config = loadVerifierConfig(sample("verifier.json"));
    expect(config.group.members.map(({ id }) => id)).to.include(config.group.self);
    const fields = Object.keys(VerifierConfigSchema.properties).filter((field) => !(field in daemonConfigFields));
    expect([...rows.keys()]).to.have.members(fields);
    const asWritten = {
      ...config,
      minimumProfitWei: String(config.minimumProfitWei),
      upholdBudgetWei: String(config.upholdBudgetWei),
      tokenPrices: [...config.unitsPerEther],
    };
    expectDefaults(rows, asWritten, given);
  });

  it("has every field of all daemons, and says which are required", () => {
    const rows = rowsAfter("Fields of all daemons.");
    expect([...rows.keys()]).to.have.members(Object.keys(daemonConfigFields));
    const { required = [] } = NbmConfigSchema as { required?: string[] };
    expect([...rows].filter(([, value]) => value === "required").map(([field]) => field)).to.have.members(required);
  });
});
