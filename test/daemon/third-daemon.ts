/**
 * A daemon of its own, in as few lines as one takes: it counts blocks and answers with the count. `boot.test.ts` runs
 * it.
 */

import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { readChain } from "../../offchain/chain/revert.ts";
import { runProgram } from "../../offchain/daemon/command-line.ts";
import { type DaemonConfig, daemonConfigFields, loadConfig } from "../../offchain/daemon/config.ts";
import { LocalDatabase } from "../../offchain/daemon/database.ts";
import type { DaemonBase, DaemonProgram, DaemonWork } from "../../offchain/daemon/program.ts";
import { SESSION_TABLES } from "../../offchain/daemon/sessions.ts";
import { sqliteScript } from "../../offchain/store/index/sql/column-types.ts";

const ConfigSchema = Type.Object(
  { ...daemonConfigFields, firstBlock: Type.Integer({ minimum: 0 }) },
  { additionalProperties: false },
);
type CounterConfig = Static<typeof ConfigSchema> & DaemonConfig;

const TABLES = `
  ${sqliteScript(SESSION_TABLES)}
  CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
`;

function build({ config, chain, server }: DaemonBase<CounterConfig, LocalDatabase>): DaemonWork {
  let seen = 0;
  server.get("/v1/blocks", async () => ({ seen }));
  const count = async () => {
    const head = await readChain("asking for the head", () => chain.provider.getBlockNumber());
    seen = head - config.firstBlock;
  };
  return { pollMilliseconds: 50, background: [{ name: "counting", run: count }] };
}

export const counterProgram: DaemonProgram<CounterConfig, LocalDatabase> = {
  kind: "counter",
  description: "Counts blocks.",
  load: (file) => loadConfig(ConfigSchema, file),
  openDatabase: (config) => LocalDatabase.open(config, "counter", [TABLES]),
  contracts: ["keyLedger"],
  sessionContract: "keyLedger",
  build,
};

if (import.meta.main) await runProgram(counterProgram);
