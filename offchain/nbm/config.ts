/**
 * Configuration of an NBM node. Every limit has a default.
 */

import { type Static, Type } from "@sinclair/typebox";
import { AddressText, Uint256Text } from "../core/wire/schema.ts";
import { type DaemonConfig, daemonConfigFields, loadConfig } from "../daemon/config.ts";

const closed = { additionalProperties: false };
const PeriodSeconds = Type.Integer({ minimum: 1, maximum: 31_536_000 });
const Count = Type.Integer({ minimum: 1, maximum: 1_000_000_000 });

export const NbmConfigSchema = Type.Object(
  {
    ...daemonConfigFields,
    /** Register on NodeRegistry at the start when the operator is not, with this stake; keep the registered URL up to date. */
    autoRegister: Type.Optional(Type.Object({ stakeWei: Uint256Text }, closed)),
    /** Create this committee once all members are registered, unless it exists. One member's configuration has it. */
    formCommittee: Type.Optional(
      Type.Object(
        {
          members: Type.Array(AddressText, { minItems: 1, maxItems: 32, uniqueItems: true }),
          threshold: Type.Integer({ minimum: 1, maximum: 32 }),
        },
        closed,
      ),
    ),
    /** Committees this node takes part in at most: anybody may name it in one, and each costs gas and work. */
    maximumCommittees: Type.Optional(Type.Integer({ minimum: 1, maximum: 1024 })),
    /** OPRF outputs per account and period that the whole committee grants; a node grants its part of it. */
    oprfBudget: Type.Optional(Type.Object({ evaluations: Count, periodSeconds: PeriodSeconds }, closed)),
    /** Transactions this node pays for: per account, and in all. */
    relayBudget: Type.Optional(Type.Object({ perAccount: Count, total: Count, periodSeconds: PeriodSeconds }, closed)),
    /** How often the chain and other members are looked at. */
    pollMilliseconds: Type.Optional(Type.Integer({ minimum: 20, maximum: 600_000 })),
    /** How many blocks before a replaced one the archive starts to read again. */
    reorgOverlapBlocks: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
  },
  closed,
);

/** A node's configuration with defaults filled in. */
export interface NbmConfig extends DaemonConfig {
  autoRegister?: { stakeWei: bigint };
  formCommittee?: { members: string[]; threshold: number };
  maximumCommittees: number;
  oprfBudget: { evaluations: number; periodSeconds: number };
  relayBudget: { perAccount: number; total: number; periodSeconds: number };
  pollMilliseconds: number;
  reorgOverlapBlocks: number;
}

const WEEK_SECONDS = 604_800;
const DAY_SECONDS = 86_400;

/**
 * Defaults. The OPRF budget allows about 780 GiB of new data a week at the average chunk size, and leaves somebody who guesses
 * contents 800,000 guesses a week per account.
 */
const DEFAULTS = {
  maximumCommittees: 8,
  oprfBudget: { evaluations: 800_000, periodSeconds: WEEK_SECONDS },
  relayBudget: { perAccount: 1000, total: 20_000, periodSeconds: DAY_SECONDS },
  pollMilliseconds: 1000,
  reorgOverlapBlocks: 128,
};

/** Reads a node's configuration. @throws InvalidInputError naming the wrong field. */
export function loadNbmConfig(file: string): NbmConfig {
  const { autoRegister, ...config } = loadConfig(NbmConfigSchema, file) as Static<typeof NbmConfigSchema> &
    DaemonConfig;
  return {
    ...DEFAULTS,
    ...config,
    ...(autoRegister === undefined ? {} : { autoRegister: { stakeWei: BigInt(autoRegister.stakeWei) } }),
  };
}
