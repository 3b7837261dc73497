import type { ManifestFacts } from "../../offchain/store/index/segment-index.ts";

/** Facts of a manifest whose slices are cut from one object each. */
export function manifestFacts(sliceCount: number, commitmentsRoot = new Uint8Array(32)): ManifestFacts {
  return { sliceCount, pieces: { pieces: sliceCount, squares: sliceCount, most: 1 }, commitmentsRoot };
}
