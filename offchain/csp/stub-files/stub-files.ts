/**
 * The stub files of accounts. They are opaque to the provider but for their epoch, which only grows: a file that a
 * revocation has replaced does not come back, and two devices cannot overwrite each other's unseen. Nobody but the
 * account gets its own.
 */
import { equalBytes } from "#primitives";
import { digestOf } from "../../core/encoding/content-id.ts";
import { TallystickError } from "../../core/errors.ts";
import type { OwnerGroupIndex } from "../../store/index/owner-group-index.ts";
import type { StubFileIndex } from "../../store/index/stub-file-index.ts";
import { isSame } from "../owner-groups/group-changes.ts";
import { memberHasNone } from "../owner-groups/group-errors.ts";
import type { AccountQuotas } from "../quotas.ts";
import { readStubFile, requireLater, stubFileConflict } from "./stub-file-body.ts";

export class StubFileService {
  readonly #index: StubFileIndex;
  readonly #groups: Pick<OwnerGroupIndex, "findOf">;
  readonly #quotas: Pick<AccountQuotas, "requireStubFile">;

  constructor(
    index: StubFileIndex,
    groups: Pick<OwnerGroupIndex, "findOf">,
    quotas: Pick<AccountQuotas, "requireStubFile">,
  ) {
    this.#index = index;
    this.#groups = groups;
    this.#quotas = quotas;
  }

  /** @throws TallystickError NOT_FOUND when the account has none for the put */
  async find(account: string, dataId: string): Promise<Uint8Array> {
    const file = await this.#index.find(account, digestOf(dataId));
    if (file !== undefined) return file.sealed;
    throw new TallystickError("the account has no stub file for this put here", {
      code: "NOT_FOUND",
      party: "client",
      check: "stub file",
      received: dataId,
    });
  }

  /**
   * Puts a stub file in place of another. It is durable when this resolves.
   * @param expected epoch in place, 0 for none
   * @param body at most `MAX_STUB_FILE_BYTES`
   * @returns its epoch
   * @throws UnknownVersionError, IntegrityError for what is no stub file; InvalidInputError for one of no later epoch
   * @throws TallystickError CONFLICT when another epoch is in place, or the account has joined a group of the put that
   *   it has not founded; RATE_LIMITED, STORAGE_UNAVAILABLE
   */
  async replace(account: string, dataId: string, expected: number, body: AsyncIterable<Uint8Array>): Promise<number> {
    const file = requireLater(await readStubFile(body), expected);
    const { epoch, sealed } = file;
    const digest = digestOf(dataId);
    const found = await this.#index.find(account, digest);
    // The answer to an earlier request was lost.
    if (found !== undefined && equalBytes(found.sealed, sealed)) return epoch;
    // A joining member still has its own. Nobody revokes a founder, which stores its own before it closes the group.
    const group = found === undefined ? await this.#groups.findOf(account, digest) : undefined;
    if (group !== undefined && !isSame(group.founder, account)) throw memberHasNone();
    await this.#quotas.requireStubFile(account, sealed.length - (found?.sealed.length ?? 0), found === undefined);
    if (await this.#index.replace(account, digest, expected, file)) return epoch;
    throw stubFileConflict((await this.#index.find(account, digest))?.epoch ?? 0, expected);
  }
}
