/**
 * Which members a key generation waits for. Waiting is no failure, but a member that does not answer, or attests other
 * keys on chain, can delay a committee without limit: the node's description therefore names it.
 */

import type { ChainReader } from "../../chain/deployment.ts";
import { type Committee, readAttestation } from "../../chain/registry.ts";
import { TallystickError } from "../../core/errors.ts";

type Members = Committee["members"];

/** How long attestations are cached: reading them takes one call per member. */
const KNOWN_MILLISECONDS = 5000;

/** Members other than this node that nothing is known of. */
export function missingOf({ members }: Committee, own: number, known: ReadonlyMap<number, unknown>): Members {
  return members.filter(({ index }) => index !== own && !known.has(index));
}

export function waitsFor(what: string, members: Members): TallystickError {
  const who = members.map(({ index, operator }) => `member ${index} (${operator})`).join(", ");
  return new TallystickError(`the key generation waits for ${what} of ${who}`, {
    code: "NOT_FOUND",
    party: who,
    check: "key generation",
    retryable: true,
  });
}

/** What the other members have attested. */
export class Attestations {
  readonly #chain: ChainReader;
  readonly #own: string;
  readonly #known = new Map<bigint, { readonly until: number; readonly problem: TallystickError | undefined }>();

  constructor(chain: ChainReader, own: string) {
    this.#chain = chain;
    this.#own = own;
  }

  /**
   * @param expected what this node has attested itself.
   * @throws TallystickError NOT_FOUND naming the members that attested something else, or else those that attested
   *   nothing.
   */
  async require(committee: Committee, expected: string): Promise<void> {
    const known = this.#known.get(committee.id);
    const problem =
      known !== undefined && Date.now() < known.until ? known.problem : await this.#lookUp(committee, expected);
    if (problem !== undefined) throw problem;
  }

  async #lookUp({ id, members }: Committee, expected: string): Promise<TallystickError | undefined> {
    const others = members.filter(({ operator }) => operator !== this.#own);
    const stated = await Promise.all(others.map(({ operator }) => readAttestation(this.#chain, id, operator)));
    const apart = others.filter((_, i) => stated[i] !== undefined && stated[i] !== expected);
    const silent = others.filter((_, i) => stated[i] === undefined);
    let problem: TallystickError | undefined;
    if (apart.length > 0) problem = waitsFor("the same attestation as this node's", apart);
    else if (silent.length > 0) problem = waitsFor("the attestation", silent);
    this.#known.set(id, { until: Date.now() + KNOWN_MILLISECONDS, problem });
    return problem;
  }
}
