/** VerifyCOM over what a provider shows: whether chunks that it serves are those that both parties committed to. */

import { sha256 } from "#primitives";
import {
  commitmentBlinding,
  commitmentPath,
  commitmentsRoot,
  commitSlice,
  verifyCommitment,
} from "../../offchain/core/audit/commitments.ts";
import { decodeManifest, sliceLayout } from "../../offchain/core/audit/manifest.ts";
import { digestOf } from "../../offchain/core/encoding/content-id.ts";
import { InvalidProofError } from "../../offchain/core/errors.ts";

/** A segment that both parties know. */
export interface CommittedSegment {
  readonly firstIndex: number;
  readonly sliceCount: number;
  /** Encoded. */
  readonly manifest: Uint8Array;
}

/**
 * Opens the commitment of every slice of a segment with the digests of the chunks that are shown.
 * @param seed of the segment, 32 bytes
 * @param show a chunk as the provider serves it; undefined when it does not
 */
export async function isDataCommitted(
  { firstIndex, sliceCount, manifest }: CommittedSegment,
  sliceElements: number,
  seed: Uint8Array,
  show: (id: string) => Promise<Uint8Array | undefined>,
): Promise<boolean> {
  const { chunks } = decodeManifest(manifest);
  const layout = sliceLayout({ version: 1, chunks }, sliceElements);
  const shown: Uint8Array[] = [];
  for (const { id } of chunks) {
    const bytes = await show(id);
    if (bytes === undefined) return false;
    shown.push(sha256(bytes));
  }
  const piecesOf = (digests: readonly Uint8Array[], position: number) =>
    layout.segments(position).map(({ chunk, offsetBytes, lengthBytes }) => ({
      digest: digests[chunk] ?? new Uint8Array(32),
      offsetBytes,
      lengthBytes,
    }));
  const agreed = chunks.map(({ id }) => digestOf(id));
  const positions = Array.from({ length: sliceCount }, (_, position) => position);
  const root = commitmentsRoot(
    seed,
    firstIndex,
    positions.map((position) => piecesOf(agreed, position)),
  );
  const blindingOf = (position: number) => commitmentBlinding(seed, firstIndex + position);
  const commitments = positions.map((position) =>
    commitSlice(firstIndex + position, piecesOf(agreed, position), blindingOf(position)),
  );
  try {
    for (const position of positions) {
      verifyCommitment(root, {
        index: firstIndex + position,
        pieces: piecesOf(shown, position),
        blinding: blindingOf(position),
        position,
        count: sliceCount,
        path: commitmentPath(commitments, position),
      });
    }
    return true;
  } catch (error) {
    if (error instanceof InvalidProofError) return false;
    throw error;
  }
}
