/** Configuration of a storage provider. Prices have no defaults: what storage costs is the operator's decision. */
import { dirname, resolve } from "node:path";
import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { DATA_SET_MODES, type DataSetMode } from "../core/data-set/terms.ts";
import { TokenPrice } from "../core/wire/csp.ts";
import { AddressText, Uint256Text } from "../core/wire/schema.ts";
import { type DaemonConfig, daemonConfigFields, loadConfig } from "../daemon/config.ts";
import { type ObjectStoreConfig, parseObjectStoreConfig } from "../store/object/open-object-store.ts";
import { type DatabaseConfig, DatabaseSchema, resolveDatabaseConfig } from "./database.ts";
import { QUOTA_DEFAULTS, type Quotas, QuotasSchema } from "./quotas.ts";

const closed = { additionalProperties: false };
const Seconds = Type.Integer({ minimum: 1, maximum: 31_536_000 });
/** Highest percentage that the escrow takes. */
const MOST_PERCENT = 0xffff;
/** The escrow counts fees in 80 bits. A fee of nothing would make proofs, bounties and bonds of nothing. */
const FeeText = Type.String({ pattern: "^[1-9][0-9]{0,23}$" });
const Blocks = Type.Integer({ minimum: 1, maximum: 0xffff_ffff });

/** Terms that are for data sets alone. */
export const DataSetTermsSchema = Type.Object(
  {
    /** Amounts in tokens of `offer.prices`, in the token's smallest unit. */
    tokens: Type.Optional(
      Type.Array(
        Type.Object(
          {
            token: AddressText,
            /** For an epoch and an index that was ever in the set. */
            pricePerIndexEpoch: Type.Optional(Uint256Text),
            /** What an answered dispute costs its author; with mode `on-demand` above 0, always below 2^80. */
            disputeBond: Type.Optional(Uint256Text),
            /** The most that the pool of collateral may come to by deposits of the provider. */
            collateralCap: Type.Optional(Uint256Text),
            /** What stays in the pool above what is locked; the rest is paid out. */
            reserve: Type.Optional(Uint256Text),
          },
          closed,
        ),
        { maxItems: 64 },
      ),
    ),
    /** Users choose one for each set. */
    modes: Type.Optional(
      Type.Array(Type.Union(DATA_SET_MODES.map((mode) => Type.Literal(mode))), {
        minItems: 1,
        maxItems: DATA_SET_MODES.length,
        uniqueItems: true,
      }),
    ),
    /** Epochs after which the earnings of sets in mode `on-demand` are settled and paid out. */
    settleEpochs: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
    latePercent: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
    graceBlocks: Type.Optional(Type.Integer({ minimum: 0, maximum: 0xffff_ffff })),
    sliceElements: Type.Optional(
      Type.Array(Type.Integer({ minimum: 1024, maximum: 65_536, multipleOf: 1024 }), { minItems: 1, maxItems: 64 }),
    ),
    maximumIndex: Type.Optional(Type.Integer({ minimum: 1, maximum: 2 ** 48 - 2 })),
  },
  closed,
);

export const OfferTermsSchema = Type.Object(
  {
    /** One entry per token that is accepted; the zero address is the native coin. */
    prices: Type.Array(Type.Object({ ...TokenPrice.properties, minimumFeePerEpoch: FeeText }), {
      minItems: 1,
      maxItems: 64,
    }),
    /** At least 1: a miss that costs nothing but the bounty, which a provider can pay to itself, would not hurt. */
    compensationPercent: Type.Optional(Type.Integer({ minimum: 1, maximum: MOST_PERCENT })),
    bountyPercent: Type.Optional(Type.Integer({ minimum: 0, maximum: MOST_PERCENT })),
    breachLimit: Type.Optional(Type.Integer({ minimum: 1, maximum: 255 })),
    windowBlocks: Type.Optional(Blocks),
    sampleCount: Type.Optional(Type.Integer({ minimum: 1, maximum: 4096 })),
    /** See `DataSetOffer` for what each means. */
    dataSets: Type.Optional(DataSetTermsSchema),
  },
  closed,
);

export const CspConfigSchema = Type.Object(
  {
    ...daemonConfigFields,
    /** The terms this provider accepts. See `Offer` for what each means. */
    offer: OfferTermsSchema,
    /** Where ciphertexts are kept: the kind of object store, and what that kind needs. */
    store: Type.Optional(Type.Object({ kind: Type.String({ maxLength: 64 }) }, { additionalProperties: true })),
    /** Where the index is kept: SQLite in `dataDir` unless given. */
    database: Type.Optional(DatabaseSchema),
    /** Receives earnings and returned collateral; the operator's own account by default. */
    payoutAccount: Type.Optional(AddressText),
    /** What no signed state names is removed this long after the last request for it. */
    unusedExpirySeconds: Type.Optional(Seconds),
    /** How long a verification request waits before it answers that the check is still running. */
    verifyWaitSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 60 })),
    /** How often the chain is read. */
    pollMilliseconds: Type.Optional(Type.Integer({ minimum: 20, maximum: 600_000 })),
    /** Average speed at which stored objects are read and checked in the background. */
    scrubMebibytesPerSecond: Type.Optional(Type.Number({ minimum: 0.01, maximum: 4096 })),
    /** How long an account owns objects that it has released: a put under way on another device may need them. */
    releaseGraceSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 31_536_000 })),
    /** How long objects that nobody needs stay. */
    gcGraceSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 31_536_000 })),
    /** How often objects that nobody needs are removed. */
    gcIntervalSeconds: Type.Optional(Seconds),
    /** Days after which what an account without a data set owns is released, announced before; 0 for never. */
    unpaidDays: Type.Optional(Type.Integer({ minimum: 0, maximum: 36_500 })),
    /** What one account may cost. */
    quotas: Type.Optional(QuotasSchema),
    /** Relays of the drand network in place of those of the deployment file, the preferred one first. */
    drandRelays: Type.Optional(
      Type.Array(Type.String({ pattern: "^https?://[^\\s]+$", maxLength: 1024 }), { minItems: 1, maxItems: 16 }),
    ),
    /** How long to wait before a proof that failed is tried again within its window. */
    proofRetrySeconds: Type.Optional(Seconds),
  },
  closed,
);

type DataSetTerms = Static<typeof DataSetTermsSchema>;

export type OfferTerms = Required<Omit<Static<typeof OfferTermsSchema>, "dataSets">> & {
  /** Without `graceBlocks`: half of `windowBlocks`. */
  dataSets: Required<Omit<DataSetTerms, "graceBlocks">> & Pick<DataSetTerms, "graceBlocks">;
};

/** A provider's configuration with defaults filled in and paths absolute. */
export interface CspConfig extends DaemonConfig {
  offer: OfferTerms;
  store: ObjectStoreConfig;
  database: DatabaseConfig;
  payoutAccount?: string;
  unusedExpirySeconds: number;
  verifyWaitSeconds: number;
  pollMilliseconds: number;
  drandRelays?: string[];
  proofRetrySeconds: number;
  scrubMebibytesPerSecond: number;
  releaseGraceSeconds: number;
  gcGraceSeconds: number;
  gcIntervalSeconds: number;
  unpaidDays: number;
  quotas: Quotas;
}

/**
 * Defaults for a chain with a block every 12 seconds: an epoch is a day, a proof has 40 minutes, three misses end a
 * data set. 460 samples find 1 % damage with 99 %. The bounty of a fee that pays for one proof of 460 samples (391,629
 * gas) pays for the report of a miss (79,880 gas), with a fifth to spare. For 30 samples (289,730 gas), 28 % would do.
 */
const OFFER_DEFAULTS = {
  compensationPercent: 100,
  bountyPercent: 25,
  breachLimit: 3,
  windowBlocks: 200,
  sampleCount: 460,
};

/**
 * Half of the fee for a late proof; slices of 248 KiB or, for large sets, 992 KiB: up to 62 or 248 GiB of them; on
 * demand, money once a month.
 */
const DATA_SET_DEFAULTS = {
  tokens: [],
  modes: ["every-epoch"] satisfies DataSetMode[] as DataSetMode[],
  settleEpochs: 30,
  latePercent: 50,
  sliceElements: [8192, 32_768],
  maximumIndex: 262_144,
};

const DEFAULTS = {
  store: { kind: "file", path: "store" },
  unusedExpirySeconds: 86_400,
  verifyWaitSeconds: 10,
  pollMilliseconds: 2000,
  proofRetrySeconds: 30,
  scrubMebibytesPerSecond: 4,
  releaseGraceSeconds: 86_400,
  gcGraceSeconds: 86_400,
  gcIntervalSeconds: 3600,
  unpaidDays: 0,
};

/** Reads a provider's configuration. @throws InvalidInputError naming the wrong field. */
export function loadCspConfig(file: string): CspConfig {
  const config = loadConfig(CspConfigSchema, file) as Static<typeof CspConfigSchema> & DaemonConfig;
  return {
    ...DEFAULTS,
    ...config,
    offer: {
      ...OFFER_DEFAULTS,
      ...config.offer,
      dataSets: { ...DATA_SET_DEFAULTS, ...config.offer.dataSets },
    },
    quotas: { ...QUOTA_DEFAULTS, ...config.quotas },
    store: parseObjectStoreConfig(config.store ?? DEFAULTS.store, config.dataDir),
    // Beside the configuration, as the other files that it names.
    database: resolveDatabaseConfig(config.database ?? { kind: "sqlite" }, dirname(resolve(file))),
  };
}
