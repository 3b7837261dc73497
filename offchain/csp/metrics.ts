/** What a provider's operator watches, on the same registry as the metrics of the process and of HTTP. */
import { Counter, Gauge } from "prom-client";
import type { DaemonMetrics } from "../daemon/metrics.ts";
import type { ChunkIndex } from "./chunks/chunk-index.ts";

export interface CspMetrics {
  /** One per proof transaction that was mined. */
  readonly proofsSent: Counter;
  /** One per attempt that ended without a proof; `reason`: damaged, refused, unavailable. */
  readonly proofsFailed: Counter<"reason">;
  readonly epochsMissed: Counter;
  readonly auditsAnswered: Counter;
  readonly proofSeconds: Gauge;
}

export interface AgreementCounts {
  active: number;
  damaged: number;
}

/** Registers the provider's metrics. Gauges read the index and the agreements when they are scraped. */
export function createCspMetrics(
  { registry }: DaemonMetrics,
  index: ChunkIndex,
  countAgreements: () => AgreementCounts,
): CspMetrics {
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  gauge("tallystick_csp_stored_bytes", "Ciphertext bytes on disk", () => index.totals().storedBytes);
  gauge("tallystick_csp_chunks", "Distinct ciphertexts on disk", () => index.totals().chunks);
  gauge("tallystick_csp_lost_chunks", "Ciphertexts whose bytes are gone or damaged", () => index.totals().lostChunks);
  gauge("tallystick_csp_deduplicated_bytes", "Bytes that owners count as theirs beyond those stored", () => {
    const { ownedBytes, storedBytes } = index.totals();
    return ownedBytes - storedBytes;
  });
  gauge("tallystick_csp_agreements", "Agreements that are being proven", () => countAgreements().active);
  gauge("tallystick_csp_damaged_agreements", "Agreements whose last proof failed on this provider's own data", () => {
    return countAgreements().damaged;
  });
  return {
    proofsSent: new Counter({ name: "tallystick_csp_proofs_sent_total", help: "Possession proofs mined", registers }),
    proofsFailed: new Counter({
      name: "tallystick_csp_proofs_failed_total",
      help: "Attempts to prove that ended without a proof",
      labelNames: ["reason"],
      registers,
    }),
    epochsMissed: new Counter({
      name: "tallystick_csp_epochs_missed_total",
      help: "Epochs whose window passed without a proof",
      registers,
    }),
    auditsAnswered: new Counter({
      name: "tallystick_csp_audits_answered_total",
      help: "Private audits answered",
      registers,
    }),
    proofSeconds: new Gauge({
      name: "tallystick_csp_last_proof_seconds",
      help: "Time the last possession proof took to compute, in seconds",
      registers,
    }),
  };
}
