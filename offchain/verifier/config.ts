/**
 * Configuration of a verifier. Every limit has a default.
 */

import type { Static } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { InvalidInputError } from "../core/errors.ts";
import { AddressText, Uint256Text } from "../core/wire/schema.ts";
import type { AdmissionRule } from "../daemon/admission.ts";
import { type DaemonConfig, daemonConfigFields, loadConfig } from "../daemon/config.ts";

const closed = { additionalProperties: false };
const MemberId = Type.String({ pattern: "^[a-zA-Z0-9._-]{1,64}$" });

/** Nobody opens sessions with a verifier: all that it answers is for everybody. */
const { admission: _, ...commonFields } = daemonConfigFields;
const NO_SESSIONS: AdmissionRule = { mode: "allow-list", accounts: [] };

export const VerifierConfigSchema = Type.Object(
  {
    ...commonFields,
    /** The verifiers that share the work. All of them list the same members; `self` names this one. */
    group: Type.Optional(
      Type.Object(
        {
          self: MemberId,
          members: Type.Array(
            Type.Object(
              { id: MemberId, url: Type.Optional(Type.String({ pattern: "^https?://[^\\s?#]+$", maxLength: 256 })) },
              closed,
            ),
            { minItems: 1, maxItems: 64 },
          ),
        },
        closed,
      ),
    ),
    /** How many blocks later each further member of the group acts. */
    takeoverBlocks: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
    /** What a report or a closing must leave behind its gas; negative: what it may lose. */
    minimumProfitWei: Type.Optional(Type.String({ pattern: "^(?:0|-?[1-9][0-9]{0,77})$" })),
    /** What bounties in tokens are worth; others count as nothing. */
    tokenPrices: Type.Optional(
      Type.Array(Type.Object({ token: AddressText, unitsPerEther: Uint256Text }, closed), { maxItems: 64 }),
    ),
    /** Gas per day for upholding disputes of others, which pays this verifier nothing. */
    upholdBudgetWei: Type.Optional(Uint256Text),
    /** Sets whose balance covers fewer epochs than this beyond the notice period are warned of. */
    runwayWarningEpochs: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000 })),
    /** How often the chain is read. */
    pollMilliseconds: Type.Optional(Type.Integer({ minimum: 20, maximum: 600_000 })),
    /** How many blocks before a replaced one events are read again. */
    reorgOverlapBlocks: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
  },
  closed,
);

/** A member of a group. */
export interface GroupMember {
  readonly id: string;
  /** Where the others can ask what it has checked. */
  readonly url?: string;
}

/** A verifier's configuration with defaults filled in. */
export interface VerifierConfig extends DaemonConfig {
  group: { readonly self: string; readonly members: readonly GroupMember[] };
  takeoverBlocks: number;
  minimumProfitWei: bigint;
  /** By address in lower case. */
  unitsPerEther: ReadonlyMap<string, bigint>;
  upholdBudgetWei: bigint;
  runwayWarningEpochs: number;
  pollMilliseconds: number;
  reorgOverlapBlocks: number;
}

/** Texts as in a file. Upholding a dispute takes about 150,000 gas: the budget pays for some tens of them at 1 gwei. */
const DEFAULTS = {
  takeoverBlocks: 3,
  minimumProfitWei: "0",
  tokenPrices: [],
  upholdBudgetWei: "10000000000000000",
  runwayWarningEpochs: 10,
  pollMilliseconds: 2000,
  reorgOverlapBlocks: 128,
};

const ALONE = { self: "alone", members: [{ id: "alone" }] };

/** Reads a verifier's configuration. @throws InvalidInputError naming the wrong field. */
export function loadVerifierConfig(file: string): VerifierConfig {
  const given = loadConfig(VerifierConfigSchema, file) as Static<typeof VerifierConfigSchema> & DaemonConfig;
  const { group, minimumProfitWei, tokenPrices, upholdBudgetWei, ...rest } = { ...DEFAULTS, ...given };
  if (group !== undefined) requireMember(group);
  return {
    ...rest,
    admission: NO_SESSIONS,
    group: group ?? ALONE,
    minimumProfitWei: BigInt(minimumProfitWei),
    upholdBudgetWei: BigInt(upholdBudgetWei),
    unitsPerEther: pricesOf(tokenPrices),
  };
}

/** A group without this verifier, or with two of one id, would leave duties to nobody. */
function requireMember({ self, members }: VerifierConfig["group"]): void {
  const ids = members.map(({ id }) => id);
  if (new Set(ids).size === ids.length && ids.includes(self)) return;
  throw new InvalidInputError("the group of verifiers does not fit", {
    check: "group",
    expected: `each id once, and ${self} among them`,
    received: ids.join(", "),
  });
}

function pricesOf(prices: readonly { token: string; unitsPerEther: string }[]): Map<string, bigint> {
  const byToken = new Map<string, bigint>();
  for (const { token, unitsPerEther } of prices) {
    const units = BigInt(unitsPerEther);
    if (units === 0n) {
      throw new InvalidInputError(`token ${token} has no price`, {
        check: "tokenPrices",
        expected: "smallest units that are worth one ether, above 0",
        received: "0",
      });
    }
    byToken.set(token.toLowerCase(), units);
  }
  return byToken;
}
