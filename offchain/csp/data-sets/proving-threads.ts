/**
 * Proofs in threads of their own. The thread that serves reads what a proof asks for, piece by piece; the other one
 * computes.
 */
import { availableParallelism } from "node:os";
import type { AuditProof } from "../../core/audit/proof.ts";
import type { SliceSource } from "../../core/audit/prover.ts";
import { type AuditThreads, talkWith } from "./audit-threads.ts";
import { type AskedRead, type ProveCall, type Proved, type Refused, restoredError } from "./thread-messages.ts";

/** Proofs for the chain at a time. The thread that serves has a core beside them. */
export const PROVING_THREADS = Math.max(1, availableParallelism() - 1);

/**
 * Makes a proof in a thread.
 * @param signal ends it and its thread
 * @throws the first error of the source; the TallystickError of the proof; the reason of the signal
 */
export async function proveInThread(
  threads: AuditThreads,
  call: Pick<ProveCall, "challenge" | "key" | "isVerified">,
  source: SliceSource,
  signal: AbortSignal,
): Promise<AuditProof> {
  signal.throwIfAborted();
  const { sliceElements, powersA } = source;
  const worker = threads.take();
  let failure: { readonly cause: unknown } | undefined;

  const answer = async ({ read, ...asked }: AskedRead): Promise<void> => {
    let bytes: Uint8Array | undefined;
    try {
      if (failure === undefined) bytes = await readFrom(source, asked);
    } catch (cause) {
      failure ??= { cause };
    }
    worker.postMessage({ step: "read", read, bytes }, bytes === undefined ? [] : handedOver(bytes));
  };
  const end = (): void => threads.end(worker);
  signal.addEventListener("abort", end, { once: true });
  try {
    return await talkWith<AskedRead | Proved | Refused, AuditProof>(
      worker,
      () => worker.postMessage({ step: "prove", ...call, sliceElements, powersA } satisfies ProveCall),
      (message, settle) => {
        if ("read" in message) void answer(message);
        else if ("proof" in message) settle.resolve(message.proof);
        else settle.reject(message.refused === undefined ? failure?.cause : restoredError(message.refused));
      },
    );
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", end);
    threads.giveBack(worker);
  }
}

function readFrom(source: SliceSource, { what, first, count }: Omit<AskedRead, "read">): Promise<Uint8Array> {
  if (what === "slice") return source.readSlice(first);
  return what === "tag" ? source.readTag(first) : source.readPowersB(first, count);
}

/** Memory that holds nothing else is handed over instead of being copied. */
function handedOver(bytes: Uint8Array): ArrayBuffer[] {
  return bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength ? [bytes.buffer] : [];
}
