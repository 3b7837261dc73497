import { expect } from "chai";
import { MAXIMUM_DELEGATION_SECONDS, scopeBits, scopesOf } from "../../offchain/core/identity/delegation.ts";
import { parseDelegationRequest, requireLifetime } from "../../offchain/core/wire/delegation.ts";
import { expectRejection } from "../helpers/rejection.ts";

const REQUEST = {
  account: `0x${"a1".repeat(20)}`,
  key: `0x${"b2".repeat(20)}`,
  scopes: ["write"],
  expiresAt: 1_800_000_000,
  deadline: 1_790_000_000,
  keySignature: `0x${"c3".repeat(65)}`,
  encryptionKey: `0x${"d4".repeat(32)}`,
  encryptionKeySignature: `0x${"e5".repeat(65)}`,
};

describe("requests of devices to act for an account", () => {
  it("are read as they were written", () => {
    expect(parseDelegationRequest(JSON.stringify(REQUEST))).to.deep.equal(REQUEST);
    expect(parseDelegationRequest(`  ${JSON.stringify(REQUEST, null, 2)}\n`)).to.deep.equal(REQUEST);
  });

  it("are read from the document that the command prints with --json", () => {
    const document = JSON.stringify({ network: { chainId: 1 }, request: REQUEST }, null, 2);
    expect(parseDelegationRequest(document)).to.deep.equal(REQUEST);
    const damaged = JSON.stringify({ request: { ...REQUEST, scopes: [] } });
    expectRejection(() => parseDelegationRequest(damaged), "INVALID_INPUT");
    expectRejection(() => parseDelegationRequest("null"), "INVALID_INPUT");
  });

  for (const [name, change] of Object.entries({
    "a scope that there is not": { scopes: ["write", "delete"] },
    "no scope": { scopes: [] },
    "a scope twice": { scopes: ["write", "write"] },
    "another field": { feeLimit: 7 },
    "a short signature": { keySignature: `0x${"c3".repeat(64)}` },
    "no encryption key": { encryptionKey: undefined },
    "a key that is no address": { key: "0xb2" },
    "a time that is no number": { expiresAt: "1800000000" },
    "a missing account": { account: undefined },
  })) {
    it(`are refused with ${name}, naming the device and the field`, () => {
      const refused = expectRejection(
        () => parseDelegationRequest(JSON.stringify({ ...REQUEST, ...change })),
        "INVALID_INPUT",
      );
      expect(refused).to.include({ party: "device" });
      expect((refused as { check?: string }).check).to.contain(`field /${Object.keys(change)[0]}`);
    });
  }

  it("are refused when they are no JSON, or too long", () => {
    expect(expectRejection(() => parseDelegationRequest("{"), "INVALID_INPUT")).to.include({ check: "request" });
    const long = JSON.stringify({ ...REQUEST, key: "0".repeat(5000) });
    expect(expectRejection(() => parseDelegationRequest(long), "INVALID_INPUT")).to.include({ check: "length" });
  });

  it("have an expiry that the contract takes", () => {
    const now = 1_790_000_000;
    for (const seconds of [1, MAXIMUM_DELEGATION_SECONDS]) requireLifetime(now + seconds, now);
    for (const seconds of [-1, 0, MAXIMUM_DELEGATION_SECONDS + 1]) {
      const refused = expectRejection(() => requireLifetime(now + seconds, now), "INVALID_INPUT");
      expect(refused).to.include({ check: "expiry of a delegate" });
    }
  });
});

describe("scopes", () => {
  it("are the bits of the contract, in any order", () => {
    expect([scopeBits(["read"]), scopeBits(["write"]), scopeBits(["write", "read"])]).to.deep.equal([1, 2, 3]);
    expect([1, 2, 3].map(scopesOf)).to.deep.equal([["read"], ["write"], ["read", "write"]]);
    expect(expectRejection(() => scopeBits([]), "INVALID_INPUT")).to.include({ check: "scopes" });
  });
});
