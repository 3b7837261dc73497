/**
 * The stub files of accounts. They are opaque to the provider but for their epoch, which only grows: a file that a
 * revocation has replaced does not come back, and two devices cannot overwrite each other's unseen. Nobody but the
 * account gets its own.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes } from "#primitives";
import { digestOf } from "../../core/encoding/content-id.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { epochOf } from "../../core/revocable/stub-file.ts";
import type { StubFileIndex } from "../../store/index/stub-file-index.ts";
import type { AccountQuotas } from "../quotas.ts";

export class StubFileService {
  readonly #index: StubFileIndex;
  readonly #quotas: Pick<AccountQuotas, "requireStubFile">;

  constructor(index: StubFileIndex, quotas: Pick<AccountQuotas, "requireStubFile">) {
    this.#index = index;
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
   * @throws TallystickError CONFLICT when another epoch is in place; RATE_LIMITED, STORAGE_UNAVAILABLE
   */
  async replace(account: string, dataId: string, expected: number, body: AsyncIterable<Uint8Array>): Promise<number> {
    const pieces: Uint8Array[] = [];
    for await (const piece of body) pieces.push(piece);
    const sealed = concatBytes(...pieces);
    const epoch = epochOf(sealed, "client");
    if (epoch <= expected) {
      throw new InvalidInputError("the stub file is not of a later epoch", {
        party: "client",
        check: "epoch of the stub file",
        expected: `more than ${expected}`,
        received: String(epoch),
      });
    }
    const digest = digestOf(dataId);
    const found = await this.#index.find(account, digest);
    // The answer to an earlier request was lost.
    if (found !== undefined && equalBytes(found.sealed, sealed)) return epoch;
    await this.#quotas.requireStubFile(account, sealed.length - (found?.sealed.length ?? 0), found === undefined);
    if (await this.#index.replace(account, digest, expected, { epoch, sealed })) return epoch;
    throw await this.#conflict(account, digest, expected);
  }

  async #conflict(account: string, digest: Uint8Array, expected: number): Promise<TallystickError> {
    const epoch = (await this.#index.find(account, digest))?.epoch ?? 0;
    return new TallystickError("another device has changed the stub file", {
      code: "CONFLICT",
      party: "client",
      check: "epoch of the stub file",
      expected: String(epoch),
      received: String(expected),
      hint: "read the stub file, make the change again, and repeat",
      details: { epoch },
    });
  }
}
