/**
 * Which sources of randomness a new data set may be challenged from. What a source is worth is in docs/threat-model.md:
 * the builder of a block can choose its hash, so a provider that colludes with builders proves what it does not have.
 */
import type { ChainReader } from "../../chain/deployment.ts";
import { deployedRandomness } from "../../chain/randomness-kind.ts";
import { InvalidInputError } from "../../core/errors.ts";
import { DEVELOPMENT_CHAIN_ID } from "../network-facts.ts";
import type { LaneWishes } from "./wishes.ts";

/**
 * Refuses block hashes outside of development chains, unless the user allows them.
 *
 * @throws InvalidInputError for block hashes; NoDeploymentError when the source of the deployment is not what its file
 *   says; ChainUnavailableError
 */
export async function requireSafeRandomness(
  chain: ChainReader,
  { allowBlockRandomness = false }: Pick<LaneWishes, "allowBlockRandomness">,
): Promise<void> {
  const { kind } = await deployedRandomness(chain);
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
