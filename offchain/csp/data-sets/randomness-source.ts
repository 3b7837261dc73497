/**
 * The source of randomness that the provider offers, looked at before anything is signed: a provider that cannot serve
 * it would miss every epoch of every set.
 */

import { type ChainReader, type Deployment, NoDeploymentError } from "../../chain/deployment.ts";
import { readHeadNumber } from "../../chain/head.ts";
import { type EvidenceSource, readBlockHeader, readDrandNetwork } from "../../chain/randomness.ts";
import { deployedRandomness, inspectRandomness } from "../../chain/randomness-kind.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { InvalidInputError, type TallystickError } from "../../core/errors.ts";
import { DrandRelays } from "../../http/drand-relays.ts";

/** What is told of relays while they are asked. */
export interface RelayWatch {
  readonly onFailure: (relay: string, error: TallystickError) => void;
  readonly onSuccess: (relay: string) => void;
}

/** Where the provider may place challenges, and what it has to wait for. */
export interface SourceFacts {
  readonly gridBlocks: number;
  readonly memoryBlocks: number;
  /** The longest time from a block until its randomness can be recorded. */
  readonly delaySeconds: number;
}

export interface OfferedRandomness extends SourceFacts {
  /**
   * Where the evidence for a source comes from. Sets that were agreed on under an earlier deployment may name another
   * source than the one on offer.
   * @throws InvalidInputError for a drand source without a relay; what the chain throws
   */
  readonly evidenceOf: (source: string) => Promise<EvidenceSource>;
}

/**
 * Looks at the source of the deployment.
 *
 * @param relays in place of those of the deployment file
 * @throws NoDeploymentError when it is not what the deployment file says, or its grid does not divide an epoch;
 *   InvalidInputError when no relay of its network is known; TallystickError UNKNOWN_VERSION when this build cannot
 *   encode the headers of this chain
 */
export async function openOfferedRandomness(
  chain: ChainReader,
  { epochBlocks, relays, watch }: { epochBlocks: number; relays: readonly string[] | undefined; watch: RelayWatch },
): Promise<OfferedRandomness> {
  const { deployment } = chain;
  const { gridBlocks, memoryBlocks } = await deployedRandomness(chain);
  if (epochBlocks % gridBlocks !== 0) {
    throw new NoDeploymentError("the grid of the source of randomness does not divide an epoch", {
      check: "grid of the source of randomness",
      expected: `a divisor of ${epochBlocks} blocks`,
      received: `${gridBlocks} blocks`,
      hint: "the escrow takes no data set with this source: deploy one with another grid",
    });
  }
  const known = new Map<string, Promise<EvidenceSource>>();
  const evidenceOf = async (source: string): Promise<EvidenceSource> => {
    const key = source.toLowerCase();
    const made = known.get(key) ?? evidenceSource(chain, source, relays, watch);
    known.set(key, made);
    try {
      return await made;
    } catch (error) {
      known.delete(key);
      throw error;
    }
  };
  const own = await evidenceOf(deployment.contracts.randomness);
  if (own.kind !== "block") await requireReadableHeaders(chain);
  const delaySeconds = own.kind === "drand" ? Number(own.network.marginSeconds + own.network.periodSeconds) : 0;
  return { gridBlocks, memoryBlocks, delaySeconds, evidenceOf };
}

async function evidenceSource(
  chain: ChainReader,
  source: string,
  ownRelays: readonly string[] | undefined,
  watch: RelayWatch,
): Promise<EvidenceSource> {
  const { kind } = await inspectRandomness(chain, source);
  if (kind !== "drand") return { kind };
  const { chainHash, relays } = drandPlace(chain.deployment, source, ownRelays);
  const network = await readDrandNetwork(chain, source, chainHash);
  return { kind, network, signatures: new DrandRelays(relays, watch) };
}

function drandPlace(
  { contracts, randomness }: Deployment,
  source: string,
  ownRelays: readonly string[] | undefined,
): { chainHash: string; relays: readonly string[] } {
  const relays = ownRelays ?? randomness?.relays ?? [];
  const chainHash = isAddressEqual(source, contracts.randomness) ? randomness?.chainHash : undefined;
  if (chainHash !== undefined && relays.length > 0) return { chainHash, relays };
  const [what, check] = chainHash === undefined ? ["chain hash", "randomness.chainHash"] : ["relay", "drand relays"];
  throw new InvalidInputError(`no ${what} is known of the drand network of ${source}`, {
    check,
    expected: "chain hash and relays",
    received: "nothing",
    hint: "name chainHash and relays under randomness in the deployment file, or drandRelays in the configuration",
  });
}

/** A fork may have added fields to headers, which only a newer build knows. */
async function requireReadableHeaders(chain: ChainReader): Promise<void> {
  const head = await readHeadNumber(chain);
  await readBlockHeader(chain, BigInt(head));
}
