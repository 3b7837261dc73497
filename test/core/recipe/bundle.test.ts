import { bytesToHex as hex } from "@noble/hashes/utils.js";
import { expect } from "chai";
import fc from "fast-check";
import { sha256 } from "#primitives";
import {
  BUNDLE_LIMITS,
  BundleCutter,
  type BundleMember,
  bundleDigest,
  endsBundle,
  isBundled,
  MAX_BUNDLE_SPAN,
  segmentBytes,
} from "../../../offchain/core/recipe/bundle.ts";
import { pseudoRandomBytes } from "../../helpers/pseudo-random.ts";
import { loadVectors, unhex } from "../../helpers/vectors.ts";

interface Vectors {
  files: { seed: string; frameBytes: number }[];
  bundles: { files: number; sealedBytes: number }[];
}

const digestOf = (seed: string) => sha256(new TextEncoder().encode(seed));
const member = (seed: string, frameBytes: number): BundleMember => ({ digest: digestOf(seed), frameBytes });

/** The bundles of a tree; undefined stands for an entry that is no small file. */
function bundlesOf(entries: Iterable<BundleMember | undefined>): BundleMember[][] {
  const cutter = new BundleCutter();
  const bundles: BundleMember[][] = [];
  let open: BundleMember[] = [];
  let openBytes = 0;
  const close = () => {
    if (open.length > 0) bundles.push(open);
    open = [];
    openBytes = 0;
  };
  for (const entry of entries) {
    const { closesBefore, place, closesAfter } = cutter.push(entry);
    if (closesBefore) close();
    if (entry !== undefined && place !== undefined) {
      if (place.position !== open.length || place.offset !== openBytes) throw new Error("a gap in a bundle");
      open.push(entry);
      openBytes += segmentBytes(entry.frameBytes);
    }
    if (closesAfter) close();
  }
  close();
  return bundles;
}

const sealedBytes = (bundle: BundleMember[]) =>
  bundle.reduce((sum, { frameBytes }) => sum + segmentBytes(frameBytes), 0);

const arbitraryMember = fc
  .tuple(fc.nat(1_000_000), fc.integer({ min: 2, max: BUNDLE_LIMITS.fileBytes + 1 }))
  .map(([seed, frameBytes]) => member(`${seed}`, frameBytes));

describe("bundles", () => {
  it("are cut where a second writing of the rule cuts them", () => {
    const { files, bundles } = loadVectors<Vectors>("bundles.json");
    const cut = bundlesOf(files.map(({ seed, frameBytes }) => member(seed, frameBytes)));
    expect(cut.map((bundle) => ({ files: bundle.length, sealedBytes: sealedBytes(bundle) }))).to.deep.equal(bundles);
  });

  it("hold every small file once, in order, and never more than the largest object", () => {
    fc.assert(
      fc.property(fc.array(fc.option(arbitraryMember, { nil: undefined }), { maxLength: 200 }), (entries) => {
        const bundles = bundlesOf(entries);
        expect(bundles.flat()).to.deep.equal(entries.filter((entry) => entry !== undefined));
        for (const bundle of bundles) expect(sealedBytes(bundle)).to.be.at.most(BUNDLE_LIMITS.maxBytes);
        for (const bundle of bundles.slice(0, -1)) expect(sealedBytes(bundle)).to.be.at.least(BUNDLE_LIMITS.minBytes);
      }),
      { numRuns: 50 },
    );
  });

  it("end at the largest size even if no digest would end them", () => {
    const never: BundleMember = { digest: new Uint8Array(32).fill(255), frameBytes: BUNDLE_LIMITS.fileBytes + 1 };
    const [first] = bundlesOf(new Array(40).fill(never));
    expect(first?.length).to.equal(15);
    expect(sealedBytes(first ?? []) + segmentBytes(never.frameBytes)).to.be.greaterThan(1_966_000);
    expect(endsBundle(BUNDLE_LIMITS.minBytes, never)).to.equal(false);
    expect(endsBundle(BUNDLE_LIMITS.minBytes - 1, { ...never, digest: new Uint8Array(32) })).to.equal(false);
    expect(endsBundle(BUNDLE_LIMITS.minBytes, { ...never, digest: new Uint8Array(32) })).to.equal(true);
  });

  it("end after a number of entries of any kind, so that a writer holds back no more", () => {
    const small = (n: number) => member(`small ${n}`, 100);
    const entries = [small(1), ...new Array<undefined>(MAX_BUNDLE_SPAN - 2).fill(undefined), small(2), small(3)];
    expect(bundlesOf(entries).map((bundle) => bundle.length)).to.deep.equal([2, 1]);
    expect(bundlesOf([undefined, ...entries]).map((bundle) => bundle.length)).to.deep.equal([2, 1]);
  });

  it("are about a mebibyte, and the same again soon after a file that changed", () => {
    const sizes = new DataView(pseudoRandomBytes("bundle sizes", 4 * 20_000).buffer);
    const files = Array.from({ length: 20_000 }, (_, n) => member(`file ${n}`, 2 + (sizes.getUint32(4 * n) % 8192)));
    const before = bundlesOf(files);
    const average = files.reduce((sum, { frameBytes }) => sum + segmentBytes(frameBytes), 0) / before.length;
    expect(average).to.be.within(850_000, 1_200_000);
    let moved = 0;
    const known = new Set(before.map((bundle) => hex(bundleDigest(bundle))));
    for (let change = 0; change < 20; change++) {
      const changed = files.toSpliced(change * 998, change % 2, member(`change ${change}`, 3000));
      moved += bundlesOf(changed).filter((bundle) => !known.has(hex(bundleDigest(bundle)))).length;
    }
    expect(moved / 20).to.be.within(1, 2.5);
  });

  it("have a digest that binds order, lengths and contents", () => {
    const { frames, bundleDigest: expected } = loadVectors<{ frames: string[]; bundleDigest: string }>("sealing.json");
    const members = frames.map(unhex).map((frame) => ({ digest: sha256(frame), frameBytes: frame.length }));
    expect(hex(bundleDigest(members))).to.equal(expected);
    const [a, b] = [member("a", 5), member("b", 6)];
    const digests = [[a, b], [b, a], [a], [{ ...a, frameBytes: 6 }, b], [a, b, b]].map((bundle) =>
      hex(bundleDigest(bundle)),
    );
    expect(new Set(digests).size).to.equal(digests.length);
  });

  it("take files of 1 byte up to the threshold", () => {
    expect([0, 1, BUNDLE_LIMITS.fileBytes, BUNDLE_LIMITS.fileBytes + 1].map(isBundled)).to.deep.equal([
      false,
      true,
      true,
      false,
    ]);
  });
});
