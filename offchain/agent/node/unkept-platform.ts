/** The agent's ports for what must leave nothing behind: a drill, and the claimant of a recovery. Nothing is kept. */

import { TallystickError } from "../../core/errors.ts";
import { systemClock } from "../clock.ts";
import type { AgentPlatform, PreparationStore } from "../platform.ts";
import { SqliteCatalogue } from "./catalogue.ts";
import { SqliteDataSetJournal } from "./data-set-journal.ts";
import { nodeTransport } from "./http-transport.ts";

const IN_MEMORY = ":memory:";

/** Nothing is stored here, so nothing is prepared. */
const NO_PREPARATIONS: PreparationStore = {
  create: async () => {
    throw new TallystickError("a platform that keeps nothing prepares nothing", { code: "INTERNAL" });
  },
  find: async () => undefined,
  remove: async () => undefined,
  removeAbandoned: async () => undefined,
};

export function unkeptPlatform(): AgentPlatform {
  const catalogue = new SqliteCatalogue(IN_MEMORY);
  const dataSets = new SqliteDataSetJournal(IN_MEMORY);
  return {
    catalogue,
    dataSets,
    preparations: NO_PREPARATIONS,
    // Nobody else has this catalogue.
    lock: { exclusive: (work) => work() },
    http: { transport: nodeTransport },
    clock: systemClock,
    close: async () => {
      await dataSets.close();
      await catalogue.close();
    },
  };
}
