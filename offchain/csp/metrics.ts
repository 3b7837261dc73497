/** Metrics of a provider, on the same registry as the metrics of the process and of HTTP. */
import { Counter, Gauge } from "prom-client";
import type { DaemonMetrics } from "../daemon/metrics.ts";
import type { ProviderIndex } from "../store/index/provider-index.ts";

export interface CspMetrics {
  /** One per proof transaction that was mined. */
  readonly proofsSent: Counter;
  /** One per attempt that ended without a proof; `reason`: damaged, refused, unavailable. */
  readonly proofsFailed: Counter<"reason">;
  readonly epochsMissed: Counter;
  /** `outcome`: answered, lost. */
  readonly disputes: Counter<"outcome">;
  readonly auditsAnswered: Counter;
  readonly proofSeconds: Gauge;
  /** One per transaction of this provider that recorded the randomness of a challenge block. */
  readonly randomnessRecorded: Counter;
  /** One per attempt to record it that failed; `reason`: see `RandomnessFailure`. */
  readonly randomnessFailed: Counter<"reason">;
}

/**
 * Registers the provider's metrics. Gauges read the index and the balance when they are scraped.
 *
 * @param balanceWei of the operator's account
 */
export function createCspMetrics(
  { registry }: DaemonMetrics,
  index: Pick<ProviderIndex, "chunks" | "dataSets">,
  balanceWei: () => Promise<bigint>,
): CspMetrics {
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => Promise<number>): void => {
    new Gauge({
      name,
      help,
      registers,
      async collect() {
        this.set(await read());
      },
    });
  };
  gauge(
    "tallystick_csp_stored_bytes",
    "Ciphertext bytes on disk",
    async () => (await index.chunks.totals()).storedBytes,
  );
  gauge("tallystick_csp_chunks", "Distinct ciphertexts on disk", async () => (await index.chunks.totals()).chunks);
  gauge(
    "tallystick_csp_lost_chunks",
    "Ciphertexts whose bytes are gone or damaged",
    async () => (await index.chunks.totals()).lostChunks,
  );
  gauge("tallystick_csp_deduplicated_bytes", "Bytes that owners count as theirs beyond those stored", async () => {
    const { ownedBytes, storedBytes } = await index.chunks.totals();
    return ownedBytes - storedBytes;
  });
  gauge("tallystick_csp_data_sets", "Data sets that are being proven", async () => {
    return (await index.dataSets.counts()).running;
  });
  gauge(
    "tallystick_csp_damaged_data_sets",
    "Data sets whose last proof failed on this provider's own data",
    async () => {
      return (await index.dataSets.counts()).damaged;
    },
  );
  gauge("tallystick_csp_balance_ether", "What the operator account has left for gas and collateral", async () => {
    // A chain that does not answer must not cost the other metrics; that it fails is counted elsewhere.
    const wei = await balanceWei().then(Number, () => Number.NaN);
    return wei / 1e18;
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
    disputes: new Counter({
      name: "tallystick_csp_disputes_total",
      help: "Disputes that this provider has answered, or has not answered in time",
      labelNames: ["outcome"],
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
    randomnessRecorded: new Counter({
      name: "tallystick_csp_randomness_recorded_total",
      help: "Challenge blocks whose randomness this provider recorded",
      registers,
    }),
    randomnessFailed: new Counter({
      name: "tallystick_csp_randomness_failed_total",
      help: "Attempts to record the randomness of a challenge block that failed",
      labelNames: ["reason"],
      registers,
    }),
  };
}
