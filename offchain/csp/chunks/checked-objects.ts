/**
 * Which objects were found intact lately: written, read and hashed, or compared with an upload. They are not hashed
 * again for a while, because whoever receives them verifies them too, and tells (`POST /v1/chunks/inspect`).
 */

/** How long a check counts. */
const CHECK_SECONDS = 86_400;
/** About 10 MB. What is forgotten is only checked again. */
const MOST_REMEMBERED = 200_000;

export class CheckedObjects {
  readonly #now: () => number;
  readonly #mostRemembered: number;
  /** Time of the last check, the oldest first. */
  readonly #checkedAt = new Map<number, number>();

  /** @param now seconds */
  constructor(now: () => number, mostRemembered = MOST_REMEMBERED) {
    this.#now = now;
    this.#mostRemembered = mostRemembered;
  }

  note(digest: Uint8Array): void {
    const key = keyOf(digest);
    this.#checkedAt.delete(key);
    this.#checkedAt.set(key, this.#now());
    if (this.#checkedAt.size <= this.#mostRemembered) return;
    for (const oldest of this.#checkedAt.keys()) {
      this.#checkedAt.delete(oldest);
      return;
    }
  }

  isRecent(digest: Uint8Array): boolean {
    const checkedAt = this.#checkedAt.get(keyOf(digest));
    return checkedAt !== undefined && checkedAt + CHECK_SECONDS > this.#now();
  }

  forget(digest: Uint8Array): void {
    this.#checkedAt.delete(keyOf(digest));
  }
}

/** The first 48 bits. Two objects that share them share a check, which delays finding damage and nothing else. */
function keyOf(digest: Uint8Array): number {
  return (
    new DataView(digest.buffer, digest.byteOffset).getUint32(0) * 0x1_0000 +
    (((digest[4] ?? 0) << 8) | (digest[5] ?? 0))
  );
}
