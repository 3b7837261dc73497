/**
 * Which sources of randomness a new data set may be challenged from. What a source is worth is in docs/threat-model.md:
 * the builder of a block can choose its hash, so a provider that colludes with builders proves what it does not have.
 */
import type { ChainReader } from "../../chain/deployment.ts";
import { readEscrowClock } from "../../chain/escrow.ts";
import { deployedRandomness } from "../../chain/randomness-kind.ts";
import { canBeDisputed } from "../../core/data-set/epochs.ts";
import { InvalidInputError } from "../../core/errors.ts";
import { DEVELOPMENT_CHAIN_ID } from "../network-facts.ts";
import type { LaneWishes } from "./wishes.ts";

/**
 * Refuses block hashes outside of development chains, unless the user allows them, and a set on demand that can be
 * disputed in less than half of an epoch.
 *
 * @throws InvalidInputError for block hashes, and for a coarse grid; NoDeploymentError when the source of the
 *   deployment is not what its file says; ChainUnavailableError
 */
export async function requireSafeRandomness(
  chain: ChainReader,
  { allowBlockRandomness = false, mode }: Pick<LaneWishes, "allowBlockRandomness" | "mode">,
): Promise<void> {
  const { kind, gridBlocks } = await deployedRandomness(chain);
  if (mode === "on-demand") requireDisputable((await readEscrowClock(chain)).epochBlocks, gridBlocks);
  const { chainId, contracts } = chain.deployment;
  if (kind !== "block" || chainId === DEVELOPMENT_CHAIN_ID || allowBlockRandomness) return;
  throw new InvalidInputError(
    "the challenges of this deployment follow from hashes that builders of blocks can choose",
    {
      party: "you",
      check: "source of randomness",
      expected: "prevrandao or drand, outside of development chains",
      received: `block hashes, from ${contracts.randomness}`,
      hint: "use a deployment with another source, or allow it with --allow-block-randomness; see docs/threat-model.md",
    },
  );
}

function requireDisputable(epochBlocks: number, gridBlocks: number): void {
  if (canBeDisputed(epochBlocks, gridBlocks)) return;
  throw new InvalidInputError("this deployment leaves too few blocks for disputes of a set on demand", {
    party: "you",
    check: "grid of the source of randomness",
    expected: `at most ${Math.floor(epochBlocks / 2)} blocks, half of an epoch`,
    received: `${gridBlocks} blocks`,
    hint: "have the provider prove in every epoch (`--mode every-epoch`), or use another deployment",
  });
}
