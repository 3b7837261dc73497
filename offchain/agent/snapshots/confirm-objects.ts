/**
 * Before a snapshot is listed: this account still owns all that it names, and will go on to.
 *
 * Another device that removes snapshots releases what no listed snapshot needs. It cannot know what a put that is under
 * way counts on: objects that it has claimed, and those that it has taken from the file cache. So the provider counts
 * the releases of an account, and exchanges the head of the list only for a device that knows of all of them. Where
 * there was one since an object was confirmed, all objects are kept before the snapshot is appended, which takes back
 * the releases that are not carried out yet. What is missing by then, the put stores again.
 */

import { TallystickError } from "../../core/errors.ts";
import { MAX_BODY_CHUNKS } from "../../core/wire/csp.ts";
import { batch } from "../pipeline/batch.ts";
import type { HeadKeeper } from "../providers/storage-provider.ts";
import { isDamage } from "../read/damage.ts";

const RELEASED_CHECK = "objects of the snapshot";

/** What a snapshot needs at one provider. */
export interface NeededObjects {
  /** Releases that the provider had counted before any of the objects was confirmed; undefined when nobody knows. */
  readonly releases: number | undefined;
  /** Ids of all of them. */
  readonly ids: (signal?: AbortSignal) => AsyncIterable<{ readonly id: string }>;
}

/**
 * Keeps objects at a provider.
 * @throws TallystickError as `isReleased` tells, when some are missing there; what reading their ids throws
 */
export async function keepObjects(
  provider: Pick<HeadKeeper, "keep" | "name">,
  objects: AsyncIterable<{ readonly id: string }>,
  signal?: AbortSignal,
): Promise<void> {
  const groups = batch(objects, { maximumItems: MAX_BODY_CHUNKS, maximumWeight: MAX_BODY_CHUNKS, weigh: () => 1 });
  try {
    for await (const group of groups) {
      const [missing] = await provider.keep(
        group.map(({ id }) => id),
        signal,
      );
      if (missing !== undefined) throw released(provider.name, missing);
    }
  } catch (error) {
    // The ids come from recipes that lie among the objects.
    const isGone = error instanceof TallystickError && (error.code === "NOT_OWNER" || isDamage(error));
    if (!isGone || isReleased(error)) throw error;
    throw released(provider.name, error.received ?? "a recipe", error);
  }
}

/** Whether the objects of a put were released by another device before its snapshot was listed. */
export function isReleased(error: unknown): boolean {
  return error instanceof TallystickError && error.check === RELEASED_CHECK;
}

/** For a put that cannot tell what it needs: it has to store all of it again. */
export function releasedMeanwhile(party: string): TallystickError {
  return released(party, "something that was released");
}

function released(party: string, received: string, cause?: TallystickError): TallystickError {
  return new TallystickError(`another device has released objects of this put at ${party}`, {
    code: "CONFLICT",
    party,
    check: RELEASED_CHECK,
    expected: "all of them",
    received: `${received} is missing`,
    hint: "run the put again with --force-rescan when no other device removes snapshots",
    retryable: true,
    ...(cause === undefined ? {} : { cause }),
  });
}
