/**
 * The file cache as the stages of a put use it: which contents need not be read, and what to remember of the others.
 *
 * Contents that are not read are not claimed either, so that another device may have released their objects since they
 * were confirmed. The cache tells whether it has returned any from before the last release: then the put has all its
 * objects kept before it lists its snapshot (`snapshots/confirm-objects.ts`).
 */
import { fromHex } from "../../core/encoding/hex.ts";
import type { BundleMember } from "../../core/recipe/bundle.ts";
import { type ChunkedContent, contentBytes } from "../../core/recipe/recipe.ts";
import type { FileCacheSession, SourceEntry, SourceFile, SourceRun } from "../platform.ts";
import type { BundleRef } from "./bundle-ref.ts";
import {
  type CachedContent,
  CONFIRMED_SECONDS,
  type Confirmation,
  decodeBundle,
  decodeCached,
  encodeBundle,
  encodeChunked,
  encodeSmall,
} from "./cached-content.ts";

export class ContentCache {
  readonly session: FileCacheSession;
  readonly #now: Confirmation;
  readonly #holds: (ids: readonly string[]) => Promise<boolean>;
  #isConfirmed = true;

  /**
   * @param now time, and the releases that the providers had counted before anything was claimed; 0 for what is not
   *   known
   * @param holds whether the put may rely on objects without reading them: the data sets that it goes to have them
   */
  constructor(
    session: FileCacheSession,
    now: Confirmation,
    holds: (ids: readonly string[]) => Promise<boolean> = async () => true,
  ) {
    this.session = session;
    this.#now = now;
    this.#holds = holds;
  }

  /** Whether nothing was released since the objects were confirmed of what has been found so far. */
  get isConfirmed(): boolean {
    return this.#isConfirmed;
  }

  /** What a source needs to find and keep what was remembered. */
  get run(): Pick<SourceRun, "cache"> {
    return { cache: this.session };
  }

  /** What is known of an unchanged file, if the objects that it refers to were confirmed lately. */
  async contentOf({ cached, sizeBytes }: SourceFile): Promise<CachedContent | undefined> {
    if (cached === undefined || sizeBytes === undefined) return undefined;
    const found = decodeCached(cached, sizeBytes);
    if (found?.kind !== "chunked") return found;
    // The lists of a tree are made with its chunks, by one put, so that they stand for them.
    const { content } = found;
    const ids = "chunks" in content ? content.chunks.map(({ id }) => id) : [content.blob.id];
    return this.#counts(found) && (await this.#holds(ids)) ? found : undefined;
  }

  /** @param content name of the bundle's content: its digest in hex */
  async bundleOf(content: string): Promise<BundleRef | undefined> {
    const value = this.session.find("bundle", fromHex(content));
    const bundle = value === undefined ? undefined : decodeBundle(value);
    if (bundle === undefined || !this.#counts(bundle)) return undefined;
    return (await this.#holds([bundle.id])) ? bundle : undefined;
  }

  rememberBundle(content: string, ref: BundleRef): void {
    this.session.remember("bundle", fromHex(content), encodeBundle(ref, this.#now));
  }

  /** The key of a part of the recipe. It follows from the digest alone, so it holds as long as the committee does. */
  recipeKey(kind: "chunk" | "file", digest: Uint8Array): Uint8Array | undefined {
    return this.session.find(`${kind} key`, digest);
  }

  rememberRecipeKey(kind: "chunk" | "file", digest: Uint8Array, key: Uint8Array): void {
    this.session.remember(`${kind} key`, digest, key);
  }

  /** @param content of a file; undefined for a folder or link. `known`: it came from the cache, and is not confirmed */
  remember(entry: SourceEntry, content: ChunkedContent | BundleMember | undefined, known: boolean): void {
    if (entry.type !== "file" || content === undefined) entry.remember?.();
    else if (known) entry.remember?.(entry.cached);
    else if ("digest" in content) entry.remember?.(encodeSmall(content));
    // A file that changed while it was read is stored as it was read. The next put reads it again.
    else if (entry.sizeBytes === undefined || entry.sizeBytes === contentBytes(content))
      entry.remember?.(encodeChunked(content, contentBytes(content), this.#now));
  }

  #counts({ confirmedAt, releases }: Confirmation): boolean {
    const now = this.#now;
    // A clock that was set back must not make an old confirmation a new one.
    const counts = confirmedAt <= now.confirmedAt && now.confirmedAt - confirmedAt <= CONFIRMED_SECONDS;
    if (counts && (releases === 0 || releases !== now.releases)) this.#isConfirmed = false;
    return counts;
  }
}
