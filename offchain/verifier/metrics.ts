/** What a verifier counts, besides process and HTTP. */

import { Counter, Gauge, type Registry } from "prom-client";
import type { EventFollower } from "./event-follower.ts";
import type { SetRecords } from "./set-records.ts";

export interface VerifierMetrics {
  /** Proofs checked; `verdict`: valid, invalid, unreadable, by-others. */
  readonly checked: Counter<"verdict">;
  /** Transactions mined; `kind`: miss, dispute, close. */
  readonly sent: Counter<"kind">;
  /** Transactions that would not have paid for themselves; by the same kinds. */
  readonly unprofitable: Counter<"kind">;
}

/** Registers the verifier's metrics; gauges read the database when they are scraped. */
export function addVerifierMetrics(
  registry: Registry,
  parts: { records: SetRecords; follower: EventFollower; balanceWei: () => Promise<bigint> },
): VerifierMetrics {
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number | Promise<number>): void => {
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
    "tallystick_verifier_block",
    "Last block whose events have been read",
    () => parts.records.cursor()?.blockNumber ?? 0,
  );
  gauge("tallystick_verifier_lag_seconds", "Seconds since the events were last known to be at the head", () =>
    parts.follower.lagSeconds(),
  );
  gauge("tallystick_verifier_data_sets", "Data sets that run", () => parts.records.totals().running);
  gauge(
    "tallystick_verifier_pending_proofs",
    "Proofs that are still to be checked",
    () => parts.records.totals().pending,
  );
  gauge("tallystick_verifier_balance_ether", "What the operator account has left for gas", async () => {
    // A chain that does not answer must not cost the other metrics; that it fails is counted elsewhere.
    const wei = await parts.balanceWei().then(Number, () => Number.NaN);
    return wei / 1e18;
  });
  new Gauge({
    name: "tallystick_verifier_warnings",
    help: "Data sets that run and whose owner should know something, by kind",
    labelNames: ["kind"],
    registers,
    collect() {
      for (const [kind, count] of Object.entries(parts.records.totals().warnings)) this.set({ kind }, count);
    },
  });
  return {
    checked: new Counter({
      name: "tallystick_verifier_proofs_checked_total",
      help: "Proofs of the chain that were checked again",
      labelNames: ["verdict"],
      registers,
    }),
    sent: new Counter({
      name: "tallystick_verifier_transactions_total",
      help: "Reports, verdicts on disputes and closings that were mined",
      labelNames: ["kind"],
      registers,
    }),
    unprofitable: new Counter({
      name: "tallystick_verifier_unprofitable_total",
      help: "Times that a transaction was not sent because its gas would have cost more than it brings",
      labelNames: ["kind"],
      registers,
    }),
  };
}
