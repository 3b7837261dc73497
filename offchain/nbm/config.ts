/**
 * Configuration of an NBM node. Every limit has a default.
 */

import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { InvalidInputError } from "../core/errors.ts";
import { AddressText, Uint256Text } from "../core/wire/schema.ts";
import { type DaemonConfig, daemonConfigFields, loadConfig } from "../daemon/config.ts";

const closed = { additionalProperties: false };
const PeriodSeconds = Type.Integer({ minimum: 1, maximum: 31_536_000 });
const Count = Type.Integer({ minimum: 1, maximum: 1_000_000_000 });
/** Half of the total each for new and for established accounts. */
const RelayBudgetSchema = Type.Object(
  { perAccount: Count, total: Type.Integer({ minimum: 2, maximum: 1_000_000_000 }), periodSeconds: PeriodSeconds },
  closed,
);

export const NbmConfigSchema = Type.Object(
  {
    ...daemonConfigFields,
    /**
     * Register on NodeRegistry at the start when the operator is not, with this stake; keep the registered URL up to
     * date.
     */
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
    /** How long a run waits for the dealings of parties that do not send theirs, once all members are there. */
    dealingSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 3600 })),
    /** Blocks from the activation of a generation until the shares that it replaces are erased. */
    eraseAfterBlocks: Type.Optional(Type.Integer({ minimum: 0, maximum: 100_000 })),
    /** OPRF outputs per account and period that the whole committee grants, also with k − 1 colluding members. */
    oprfBudget: Type.Optional(Type.Object({ evaluations: Count, periodSeconds: PeriodSeconds }, closed)),
    /** Release requests per account and period that this node looks at. */
    releaseBudget: Type.Optional(Type.Object({ releases: Count, periodSeconds: PeriodSeconds }, closed)),
    /** Blocks on the state that the policy of a sealed secret answers from, its own included. */
    releaseConfirmations: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
    /** The oldest that this state may be, by this machine's clock: an endpoint that hangs behind decides nothing. */
    releaseMaximumAgeSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000_000 })),
    /** Transactions this node pays for: per account, and in all; see records/relay-budget.ts. */
    relayBudget: Type.Optional(RelayBudgetSchema),
    /** The highest gas price at which this node relays; `maximumFeeGwei` caps all its transactions. */
    maximumRelayFeeGwei: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1_000_000 })),
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
  dealingSeconds: number;
  eraseAfterBlocks: number;
  oprfBudget: { evaluations: number; periodSeconds: number };
  releaseBudget: { releases: number; periodSeconds: number };
  releaseConfirmations: number;
  releaseMaximumAgeSeconds: number;
  relayBudget: { perAccount: number; total: number; periodSeconds: number };
  maximumRelayFeeGwei: number;
  pollMilliseconds: number;
  reorgOverlapBlocks: number;
}

const WEEK_SECONDS = 604_800;
const DAY_SECONDS = 86_400;

/**
 * Defaults. In a 3-of-5 committee the OPRF budget makes 480,000 evaluations per node and week: 800,000 outputs for an
 * account on its own, which is 781 GiB of new data at 1 MiB per chunk, and 1,440,000 guesses for one that two members
 * help.
 */
const DEFAULTS = {
  maximumCommittees: 8,
  dealingSeconds: 60,
  eraseAfterBlocks: 128,
  oprfBudget: { evaluations: 1_440_000, periodSeconds: WEEK_SECONDS },
  releaseBudget: { releases: 20_000, periodSeconds: DAY_SECONDS },
  releaseConfirmations: 3,
  releaseMaximumAgeSeconds: 600,
  relayBudget: { perAccount: 1000, total: 20_000, periodSeconds: DAY_SECONDS },
  maximumRelayFeeGwei: 100,
  pollMilliseconds: 1000,
  reorgOverlapBlocks: 128,
};

const WILDCARD_HOSTS: ReadonlySet<string> = new Set(["0.0.0.0", "::", "[::]", "0:0:0:0:0:0:0:0"]);

/** Reads a node's configuration. @throws InvalidInputError naming the wrong field. */
export function loadNbmConfig(file: string): NbmConfig {
  const { autoRegister, ...config } = loadConfig(NbmConfigSchema, file) as Static<typeof NbmConfigSchema> &
    DaemonConfig;
  if (autoRegister !== undefined) requireReachable(config);
  return {
    ...DEFAULTS,
    ...config,
    ...(autoRegister === undefined ? {} : { autoRegister: { stakeWei: BigInt(autoRegister.stakeWei) } }),
  };
}

/** The registered address is what everybody asks: one that stands for all interfaces of a machine leads nowhere. */
function requireReachable({ listen, publicUrl }: DaemonConfig): void {
  if (publicUrl !== undefined || !WILDCARD_HOSTS.has(listen.host)) return;
  throw new InvalidInputError(`a node that listens on ${listen.host} has no address to register`, {
    check: "publicUrl",
    expected: "the URL by which users and members reach this node",
    hint: "add publicUrl to the configuration",
  });
}
