/**
 * The head of an account's snapshot list. It is opaque to the provider but for its version, which only grows: two
 * devices that append at the same time cannot overwrite each other's change unseen.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes } from "#primitives";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { headVersion } from "../../core/snapshot/list-objects.ts";
import type { ExpectedHead, HeadIndex } from "../../store/index/head-index.ts";
import type { SuccessionIndex } from "../../store/index/succession-index.ts";
import type { AccountQuotas } from "../quotas.ts";

export class HeadService {
  readonly #index: HeadIndex;
  readonly #quotas: Pick<AccountQuotas, "requireHead">;
  readonly #successions: Pick<SuccessionIndex, "hasTakenOver">;

  constructor(
    index: HeadIndex,
    quotas: Pick<AccountQuotas, "requireHead">,
    successions: Pick<SuccessionIndex, "hasTakenOver">,
  ) {
    this.#index = index;
    this.#quotas = quotas;
    this.#successions = successions;
  }

  /** @throws TallystickError NOT_FOUND when the account has none */
  async find(account: string): Promise<Uint8Array> {
    const head = await this.#index.find(account);
    if (head !== undefined) return head.sealed;
    throw new TallystickError("the account has no snapshot list here", {
      code: "NOT_FOUND",
      party: "client",
      check: "head of the snapshot list",
    });
  }

  /**
   * The head of a predecessor, as it left it.
   * @throws TallystickError NOT_OWNER when the account took over from no such one here; as `find`
   */
  async findOf(account: string, predecessor: string): Promise<Uint8Array> {
    if (await this.#successions.hasTakenOver(account, predecessor)) return await this.find(predecessor);
    throw new TallystickError("the account is no successor of the one whose snapshot list it asks for", {
      code: "NOT_OWNER",
      party: `account ${account}`,
      check: "successor in the directory of accounts",
      expected: `a successor of ${predecessor}`,
      hint: "open a new session after the successor was named",
    });
  }

  /**
   * Puts a head in place of another. It is durable when this resolves.
   * @param body at most `MAX_HEAD_BYTES`
   * @returns its version
   * @throws InvalidInputError for a head of another version than the next; IntegrityError for a truncated one
   * @throws TallystickError CONFLICT when another version is in place, or objects were released meanwhile;
   *   RATE_LIMITED, STORAGE_UNAVAILABLE
   */
  async replace(account: string, expected: ExpectedHead, body: AsyncIterable<Uint8Array>): Promise<number> {
    const pieces: Uint8Array[] = [];
    for await (const piece of body) pieces.push(piece);
    const sealed = concatBytes(...pieces);
    const version = headVersion(sealed);
    if (version !== expected.version + 1) {
      throw new InvalidInputError("the head is not of the next version", {
        party: "client",
        check: "version of the head",
        expected: String(expected.version + 1),
        received: String(version),
      });
    }
    await this.#quotas.requireHead(account, sealed.length);
    if (await this.#index.replace(account, expected, { version, sealed })) return version;
    const found = await this.#index.find(account);
    // The answer to an earlier request was lost.
    if (found !== undefined && equalBytes(found.sealed, sealed)) return version;
    const inPlace = { version: found?.version ?? 0, releases: await this.#index.releasesOf(account) };
    const isSameVersion = inPlace.version === expected.version;
    throw new TallystickError(
      isSameVersion
        ? "another device has released objects since they were counted on"
        : "another device has changed the snapshot list",
      {
        code: "CONFLICT",
        party: "client",
        check: isSameVersion ? "releases of objects" : "version of the head",
        expected: String(isSameVersion ? inPlace.releases : inPlace.version),
        received: String(isSameVersion ? expected.releases : expected.version),
        hint: "read the head, make the change again, and repeat",
        details: inPlace,
      },
    );
  }
}
