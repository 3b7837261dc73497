/**
 * How far the clocks of the other parties are from this one. Signed messages expire, so a clock that is wrong by
 * minutes makes every party refuse them, and the refusals alone do not show whose clock it is.
 */

/** Offsets up to this are those of slow answers and of HTTP dates, which count whole seconds. */
export const TOLERATED_CLOCK_SECONDS = 5;
const DEADLINE_MILLISECONDS = 5000;

export interface ClockOffset {
  readonly name: string;
  /** The party's clock minus this machine's, in seconds. */
  readonly offsetSeconds: number;
}

/** @param date an HTTP date @param sentAt, receivedAt this machine's clock around the request, in milliseconds */
export function offsetOf(date: string | null, sentAt: number, receivedAt: number): number | undefined {
  const theirs = Date.parse(date ?? "");
  if (Number.isNaN(theirs)) return undefined;
  // The date was cut to a second.
  return Math.round((theirs + 500 - (sentAt + receivedAt) / 2) / 1000);
}

/** Asks each party by the date of an HTTP answer; parties that do not answer are left out. */
export async function clockOffsets(parties: readonly { name: string; url: string }[]): Promise<ClockOffset[]> {
  const asked = parties.map(async ({ name, url }): Promise<ClockOffset[]> => {
    try {
      const sentAt = Date.now();
      const response = await fetch(`${url.replace(/\/+$/, "")}/healthz`, {
        redirect: "error",
        signal: AbortSignal.timeout(DEADLINE_MILLISECONDS),
      });
      const receivedAt = Date.now();
      await response.body?.cancel();
      const offsetSeconds = offsetOf(response.headers.get("date"), sentAt, receivedAt);
      return offsetSeconds === undefined ? [] : [{ name, offsetSeconds }];
    } catch {
      // Its state in the report says what is wrong with it.
      return [];
    }
  });
  return (await Promise.all(asked)).flat();
}
