/**
 * Bounds the bodies that are received at the same time. Each holds some MiB until it has arrived, and how long that
 * takes is up to the sender, so the places are few: for each account, and in all. A place is taken before anything of
 * the body is read, and held until the answer has been sent or the connection is closed.
 */
import type { onRequestAsyncHookHandler } from "fastify";
import { TallystickError } from "../../core/errors.ts";
import { sessionOf } from "../../daemon/sessions.ts";

/** One put of an agent has two uploads under way. */
const PER_ACCOUNT = 4;
/** An upload that stalls holds 5 MiB, so these hold 160 MiB. */
const IN_ALL = 32;

export class BodyPlaces {
  readonly #taken = new Map<string, number>();
  #total = 0;

  /**
   * A hook for routes with streamed bodies, after the one that asks for a session.
   * @throws TallystickError RATE_LIMITED
   */
  readonly take: onRequestAsyncHookHandler = async (request, reply) => {
    const account = sessionOf(request).account.toLowerCase();
    const taken = this.#taken.get(account) ?? 0;
    if (taken >= PER_ACCOUNT) throw noPlace("of the account", PER_ACCOUNT);
    if (this.#total >= IN_ALL) throw noPlace("of all accounts", IN_ALL);
    // The connection broke while the session was checked: nothing would give the place back.
    if (reply.raw.closed) return;
    this.#taken.set(account, taken + 1);
    this.#total += 1;
    reply.raw.once("close", () => this.#giveBack(account));
  };

  #giveBack(account: string): void {
    this.#total -= 1;
    const left = (this.#taken.get(account) ?? 1) - 1;
    if (left === 0) this.#taken.delete(account);
    else this.#taken.set(account, left);
  }
}

function noPlace(whose: string, limit: number): TallystickError {
  return new TallystickError("too many bodies are being sent at the same time", {
    code: "RATE_LIMITED",
    party: "provider",
    check: `bodies ${whose} under way`,
    expected: `at most ${limit}`,
    retryable: true,
    hint: "repeat when another transfer has ended",
  });
}
