/**
 * Bounds the bodies that are received at the same time. Each holds some MiB until it has arrived, and how long that
 * takes is up to the sender, so the places are few: for each account, and in all. A place is taken before anything of
 * the body is read, and held until there is an answer or the connection is closed.
 */
import type { FastifyRequest, onRequestAsyncHookHandler, onSendAsyncHookHandler } from "fastify";
import { TallystickError } from "../../core/errors.ts";
import { sessionOf } from "../../daemon/sessions.ts";

/** One put of an agent has two uploads under way. */
const PER_ACCOUNT = 4;
/** An upload that stalls holds 5 MiB, so these hold 160 MiB. */
const IN_ALL = 32;

export class BodyPlaces {
  readonly #taken = new Map<string, number>();
  #total = 0;
  /** Accounts of the requests that have a place. */
  readonly #holders = new Map<FastifyRequest, string>();

  /**
   * The hook onRequest of routes with streamed bodies, after the one that asks for a session.
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
    this.#holders.set(request, account);
    reply.raw.once("close", () => this.#giveBack(request));
  };

  /** The other hook of these routes. After a refusal the connection stays open for a while, and holds no place. */
  readonly giveBack: onSendAsyncHookHandler<unknown> = async (request, _reply, payload) => {
    this.#giveBack(request);
    return payload;
  };

  #giveBack(request: FastifyRequest): void {
    const account = this.#holders.get(request);
    if (account === undefined) return;
    this.#holders.delete(request);
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
