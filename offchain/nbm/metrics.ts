/** What a node counts, besides process and HTTP. */

import { Counter, Gauge, type Registry } from "prom-client";
import type { GenerationPhase } from "../core/wire/nbm.ts";
import type { GenerationStore } from "./generations/generation-store.ts";
import type { Archive } from "./records/archive.ts";
import type { ArchiveFollower } from "./records/archive-follower.ts";

const PHASES: readonly GenerationPhase[] = ["announcing", "dealing", "attesting", "ready", "failed"];

export interface NbmMetrics {
  readonly evaluations: Counter;
  readonly relayed: Counter<"kind">;
  readonly sharesReleased: Counter;
  readonly sharesTaken: Counter<"from">;
  readonly sharesHandedOver: Counter;
  readonly releases: Counter<"outcome">;
}

/** Registers the node's metrics; gauges read the database when they are scraped. */
export function addNbmMetrics(
  registry: Registry,
  parts: {
    archive: Archive;
    follower: ArchiveFollower;
    generations: GenerationStore;
    balanceWei: () => Promise<bigint>;
  },
): NbmMetrics {
  const registers = [registry];
  new Gauge({
    name: "tallystick_nbm_archive_block",
    help: "Last block the archive has read",
    registers,
    collect() {
      this.set(parts.archive.cursor()?.blockNumber ?? 0);
    },
  });
  new Gauge({
    name: "tallystick_nbm_archive_lag_seconds",
    help: "Seconds since the archive was last known to be at the head",
    registers,
    collect() {
      this.set(parts.follower.lagSeconds());
    },
  });
  new Gauge({
    name: "tallystick_nbm_archive_events",
    help: "Ledger events in the archive",
    labelNames: ["kind"],
    registers,
    collect() {
      const { records, owners } = parts.archive.totals();
      this.set({ kind: "record" }, records);
      this.set({ kind: "owner" }, owners);
    },
  });
  new Gauge({
    name: "tallystick_nbm_generations",
    help: "Generations of committees at this node by phase",
    labelNames: ["phase"],
    registers,
    collect() {
      const states = parts.generations.all();
      for (const phase of PHASES) this.set({ phase }, states.filter((state) => state.phase === phase).length);
    },
  });
  new Gauge({
    name: "tallystick_nbm_balance_ether",
    help: "What the operator account has left for gas",
    registers,
    async collect() {
      // A chain that does not answer must not cost the other metrics; that it fails is counted below.
      const wei = await parts.balanceWei().then(Number, () => Number.NaN);
      this.set(wei / 1e18);
    },
  });
  return {
    evaluations: new Counter({
      name: "tallystick_nbm_evaluations_total",
      help: "Blinded elements evaluated",
      registers,
    }),
    relayed: new Counter({
      name: "tallystick_nbm_relayed_total",
      help: "Relay requests answered",
      labelNames: ["kind"],
      registers,
    }),
    releases: new Counter({
      name: "tallystick_nbm_releases_total",
      help: "Requests for the release of a sealed secret, by what became of them",
      labelNames: ["outcome"],
      registers,
    }),
    sharesReleased: new Counter({ name: "tallystick_nbm_shares_released_total", help: "Shares released", registers }),
    sharesHandedOver: new Counter({
      name: "tallystick_nbm_shares_handed_over_total",
      help: "Shares sent to members that hold them in this node's place; those that are asked for again count again",
      registers,
    }),
    sharesTaken: new Counter({
      name: "tallystick_nbm_shares_taken_total",
      help: "Shares taken over from members that have left, by who delivered them",
      labelNames: ["from"],
      registers,
    }),
  };
}
