/** The storage providers of a deployment: which of them a put goes to, and reading from whichever has an object. */

import { isAddressEqual } from "../../core/encoding/address.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { isDamage } from "../read/damage.ts";
import type { Received, Receiver } from "../read/object-source.ts";
import { restate } from "../restate-error.ts";
import type { StorageProvider } from "./storage-provider.ts";

export class ProviderSet<Provider extends StorageProvider = StorageProvider> implements Iterable<Provider> {
  readonly #providers: readonly Provider[];
  readonly #onLoss: () => void;
  /** Asked first: it returned the last object. */
  #preferred = 0;

  /**
   * @param providers in order of preference.
   * @param onLoss is told when a provider has lost an object or damaged it, and when none has it
   * @throws InvalidInputError for none, or for two with one account
   */
  constructor(providers: readonly Provider[], onLoss: () => void = () => undefined) {
    if (providers.length === 0) throw noProviders();
    for (const [index, { account }] of providers.entries()) {
      if (providers.slice(0, index).some((other) => isAddressEqual(other.account, account))) throw listedTwice(account);
    }
    this.#providers = providers;
    this.#onLoss = onLoss;
  }

  [Symbol.iterator](): Iterator<Provider> {
    return this.#providers[Symbol.iterator]();
  }

  /** @returns undefined when no member has the account */
  find(account: string): Provider | undefined {
    return this.#providers.find((one) => isAddressEqual(one.account, account));
  }

  /** @throws TallystickError NOT_FOUND when no member has the account */
  byAccount(account: string): Provider {
    const provider = this.find(account);
    if (provider !== undefined) return provider;
    throw new TallystickError(`provider ${account} is not in the deployment`, {
      code: "NOT_FOUND",
      check: "provider account",
      expected: this.#providers.map((one) => one.account).join(" or "),
      received: account,
      hint: "use a deployment file that lists it",
    });
  }

  /**
   * The provider that a person names by its account or its URL.
   * @throws TallystickError NOT_FOUND when no member has it
   */
  named(text: string): Provider {
    const url = urlOf(text);
    const found = url === undefined ? undefined : this.#providers.find((one) => urlOf(one.url) === url);
    return found ?? this.byAccount(text);
  }

  /**
   * The providers that are named, or the first one.
   *
   * @param accounts which; default the first of the deployment file.
   * @throws TallystickError NOT_FOUND for an account that is not in the deployment; InvalidInputError for none
   */
  choose(accounts: readonly string[] | undefined): Provider[] {
    if (accounts === undefined) return this.#providers.slice(0, 1);
    if (accounts.length === 0)
      throw new InvalidInputError("no provider is named", { party: "you", check: "providers" });
    return [...new Set(accounts.map((account) => this.byAccount(account)))];
  }

  /**
   * Fetches an object from whichever provider has it, starting with the one that returned the last object.
   *
   * @returns the object, verified against its id.
   * @throws the first failure other than NOT_FOUND when no provider returned it, with what each answered in
   *   `details.providers`; the signal's reason
   */
  async fetch(id: string, signal?: AbortSignal): Promise<Uint8Array> {
    return await this.#fromAny(id, signal, (provider) => provider.fetch(id, signal));
  }

  /** As `fetch`; see `ObjectSource`. */
  async receive<Result extends Received>(
    id: string,
    receiver: Receiver<Result>,
    signal?: AbortSignal,
  ): Promise<Result> {
    return await this.#fromAny(id, signal, async (provider) => {
      if (provider.receive !== undefined) return await provider.receive(id, receiver, signal);
      // Of a copy, because the provider may keep what it returned.
      return await receiver.read((await provider.fetch(id, signal)).slice());
    });
  }

  async #fromAny<Result>(
    id: string,
    signal: AbortSignal | undefined,
    ask: (provider: Provider) => Promise<Result>,
  ): Promise<Result> {
    const failures: { readonly name: string; readonly error: TallystickError }[] = [];
    const first = this.#preferred;
    for (let step = 0; step < this.#providers.length; step += 1) {
      const position = (first + step) % this.#providers.length;
      const provider = this.#providers[position];
      if (provider === undefined) break;
      try {
        const result = await ask(provider);
        this.#preferred = position;
        return result;
      } catch (error) {
        if (signal?.aborted === true || !(error instanceof TallystickError)) throw error;
        failures.push({ name: provider.name, error });
        if (error.code === "INTEGRITY" || error.code === "OBJECT_LOST") this.#onLoss();
      }
    }
    const error = nobodyHas(id, failures);
    // One provider of several need not have an object: not every put goes to all of them.
    if (isDamage(error)) this.#onLoss();
    throw error;
  }
}

function nobodyHas(
  id: string,
  failures: readonly { readonly name: string; readonly error: TallystickError }[],
): TallystickError {
  const worst = failures.find(({ error }) => error.code !== "NOT_FOUND") ?? failures[0];
  if (worst === undefined) return new TallystickError("no provider to ask", { code: "INTERNAL" });
  if (failures.length === 1) return worst.error;
  return restate(worst.error, worst.error.message, {
    retryable: failures.some(({ error }) => error.retryable),
    details: {
      ...worst.error.details,
      id,
      providers: failures.map(({ name, error }) => ({ provider: name, answer: error.code })),
    },
  });
}

/** Undefined for a text that is no URL. */
function urlOf(text: string): string | undefined {
  return URL.canParse(text) ? new URL(text).href.replace(/\/+$/, "") : undefined;
}

function noProviders(): InvalidInputError {
  return new InvalidInputError("the deployment lists no storage provider", {
    party: "deployment",
    check: "providers",
    expected: "at least one",
    hint: "name a provider in the deployment file",
  });
}

function listedTwice(account: string): InvalidInputError {
  return new InvalidInputError(`the deployment lists provider ${account} twice`, {
    party: "deployment",
    check: "providers",
    received: account,
    hint: "remove one of the two from the deployment file",
  });
}
