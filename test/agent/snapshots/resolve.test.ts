import { expect } from "chai";
import type { AgentContext } from "../../../offchain/agent/context.ts";
import { globMatcher } from "../../../offchain/agent/snapshots/glob.ts";
import { checkLabels } from "../../../offchain/agent/snapshots/record-snapshot.ts";
import { dataIdIn, resolvePlace } from "../../../offchain/agent/snapshots/resolve.ts";
import { checksumAddress } from "../../../offchain/core/encoding/address.ts";
import { expectRejection } from "../../helpers/rejection.ts";
import { snapshotOf, someId } from "../../helpers/snapshots.ts";

describe("names of snapshots", () => {
  const old = snapshotOf(1, { host: "laptop" });
  const desk = snapshotOf(2, { host: "desk" });
  const again = snapshotOf(3, { host: "laptop", dataId: old.dataId, timeMillis: old.timeMillis + 1 });
  const all = [old, desk, again];
  const idOf = (text: string) => resolvePlace(text, all).snapshot?.id;

  it("are prefixes of ids, latest, latest of a host, and data ids", () => {
    expect(idOf(old.id)).to.equal(old.id);
    expect(idOf(desk.id.slice(0, 12))).to.equal(desk.id);
    expect(idOf("latest")).to.equal(desk.id);
    expect(idOf("latest:laptop")).to.equal(again.id);
    expect(idOf(old.dataId)).to.equal(again.id);
    expect(resolvePlace(someId(77), all)).to.deep.equal({ dataId: someId(77) });
    expect(dataIdIn(`${someId(77)}:a`)).to.equal(someId(77));
    expect(dataIdIn("latest:a")).to.equal(undefined);
  });

  it("are of the past before one of the future, which is latest only alone", () => {
    const future = snapshotOf(4, { host: "laptop", timeMillis: Date.now() + 86_400_000 });
    expect(resolvePlace("latest", [...all, future]).snapshot?.id).to.equal(desk.id);
    expect(resolvePlace("latest:laptop", [...all, future]).snapshot?.id).to.equal(again.id);
    expect(resolvePlace("latest", [future]).snapshot?.id).to.equal(future.id);
  });

  it("are the account's own before those of a device, whose key may be in other hands", () => {
    const [device, other] = [0xde, 0xdf].map((fill) => checksumAddress(new Uint8Array(20).fill(fill))) as [
      string,
      string,
    ];
    const laptop = snapshotOf(5, { host: "laptop", device, timeMillis: again.timeMillis + 5 });
    const same = snapshotOf(6, { dataId: old.dataId, device, timeMillis: again.timeMillis + 6 });
    const vault = snapshotOf(7, { host: "vault", device, timeMillis: again.timeMillis + 7 });
    const mixed = [...all, laptop, same, vault];
    const found = (text: string, listed = mixed) => resolvePlace(text, listed).snapshot?.id;
    expect(found("latest")).to.equal(desk.id);
    expect(found("latest:laptop")).to.equal(again.id);
    expect(found(old.dataId)).to.equal(again.id);
    expect(found("latest:vault")).to.equal(vault.id);
    expect(found(`latest:${device.toLowerCase()}`)).to.equal(vault.id);
    expect(found("latest", [laptop, vault])).to.equal(vault.id);
    const posing = snapshotOf(8, { host: "vault", device: other });
    expectRejection(() => found("latest:vault", [...mixed, posing]), "INVALID_INPUT", /several devices/);
    expect(found(`latest:${device}`, [...mixed, posing])).to.equal(vault.id);
  });

  it("have no host with a colon, which could not be named", () => {
    expectRejection(() => checkLabels({ platform: {} } as AgentContext, { host: "we:ird" }), "INVALID_INPUT", /colon/);
  });

  it("may be followed by a path, in which a host's name counts as a host", () => {
    expect(resolvePlace(`${desk.id.slice(0, 9)}:a/b c:d`, all).path).to.equal("a/b c:d");
    expect(resolvePlace("latest:photos/a.jpg", all)).to.include({ snapshot: desk, path: "photos/a.jpg" });
    expect(resolvePlace("latest:laptop:/photos/", all)).to.include({ snapshot: again, path: "photos" });
    expect(resolvePlace("latest:./laptop", all)).to.include({ snapshot: desk, path: "laptop" });
    expect(resolvePlace(`${someId(5)}:x`, all)).to.deep.equal({ dataId: someId(5), path: "x" });
    for (const whole of ["latest:", "latest:/", "latest:.", "latest"]) {
      expect(resolvePlace(whole, all)).to.not.have.property("path");
    }
  });

  for (const [what, text, code, message] of [
    ["a prefix that nothing has", "ffffffffffff", "NOT_FOUND", /begins with ffffffffffff/],
    ["one digit", "a", "INVALID_INPUT", /no snapshot/],
    ["a word", "newest", "INVALID_INPUT", /no snapshot/],
    ["nothing", "", "INVALID_INPUT", /no snapshot/],
    ["a path that leads out", "latest:a/../../etc", "INVALID_INPUT", /leads elsewhere/],
    ["a path with an empty component", "latest:a//b", "INVALID_INPUT", /empty component/],
  ] as const) {
    it(`do not include ${what}`, () => {
      expectRejection(() => resolvePlace(text, all), code, message);
    });
  }

  it("must tell one snapshot from another", () => {
    const many = Array.from({ length: 600 }, (_, k) => snapshotOf(k));
    const prefix = many[0]?.id.slice(0, 2) ?? "";
    const error = expectRejection(() => resolvePlace(prefix, many), "INVALID_INPUT", /several snapshots/);
    expect(error.received).to.contain(prefix);
    expectRejection(() => resolvePlace("latest", []), "NOT_FOUND", /there is no snapshot/);
  });
});

describe("patterns", () => {
  for (const [pattern, matching, others] of [
    ["*.jpg", ["a.jpg", "x/y/b.jpg", ".jpg"], ["a.jpeg", "a.jpg/b", "a.JPG"]],
    ["a?c", ["abc", "x/aéc", "a😀c"], ["ac", "abbc"]],
    ["photos/*.jpg", ["photos/a.jpg"], ["photos/2020/a.jpg", "x/photos/a.jpg"]],
    ["photos/**/*.jpg", ["photos/a.jpg", "photos/1/2/a.jpg"], ["a.jpg", "photos.jpg"]],
    ["**/a", ["a", "x/a", "x/y/a"], ["xa", "x/ya"]],
    ["photos/**", ["photos/a", "photos/a/b"], ["photos", "photo/a"]],
    ["/photos/a", ["photos/a"], ["x/photos/a"]],
    ["[a-c]1", ["a1", "x/c1"], ["d1", "/1"]],
    ["[!a-c]1", ["d1"], ["a1"]],
    ["[]]", ["]"], ["["]],
    ["a\\*b", ["a*b"], ["axb"]],
    ["a.b+(c)$", ["a.b+(c)$"], ["aXb+(c)$"]],
    ["\udcff*", ["\udcffx"], ["x"]],
    ["a\nb", ["a\nb"], ["a"]],
  ] as const) {
    it(`match what ${JSON.stringify(pattern)} says`, () => {
      const matches = globMatcher(pattern);
      for (const path of matching) expect(matches(path), path).to.equal(true);
      for (const path of others) expect(matches(path), path).to.equal(false);
    });
  }

  it("are refused when they are malformed", () => {
    for (const pattern of ["", "[a", "a\\", "[z-a]", "x".repeat(4097)]) {
      expectRejection(() => globMatcher(pattern), "INVALID_INPUT");
    }
  });

  it("take no longer than the path is long, whatever they are", () => {
    const matches = globMatcher(`${"**/".repeat(8)}${"*a".repeat(30)}b`);
    const started = performance.now();
    expect(matches(`${"a/".repeat(2000)}${"a".repeat(2000)}`)).to.equal(false);
    expect(performance.now() - started).to.be.lessThan(2000);
  });
});
