/** What a provider has acknowledged to an account, and whether it serves it. */
import { AgentAccount } from "../../offchain/agent/account.ts";
import { CspClient } from "../../offchain/agent/providers/csp-client.ts";
import { HttpStorageProvider } from "../../offchain/agent/providers/http-provider.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import { identityFromPhrase } from "../../offchain/core/identity/identity.ts";
import { SessionTokens } from "../../offchain/http/sessions.ts";
import type { LocalNet } from "./local-net.ts";

/** Requests of one check that are under way at the same time. */
const FETCHES = 8;

/** The provider of a network as an account sees it, without a proxy between them. */
export function providerFor(net: LocalNet, recoveryPhrase: string): HttpStorageProvider {
  const account = new AgentAccount(identityFromPhrase(recoveryPhrase).signingKey);
  const sessions = new SessionTokens(account, net.deployment);
  return new HttpStorageProvider(new CspClient(net.provider.url, net.provider.account, sessions));
}

/**
 * Fetches objects and hashes them.
 * @returns what is wrong, by id, of those that are missing or have other bytes
 * @throws TallystickError when the provider cannot be asked
 */
export async function notServed(provider: HttpStorageProvider, ids: Iterable<string>): Promise<Map<string, string>> {
  const wrong = new Map<string, string>();
  const rest = ids[Symbol.iterator]();
  const fetchRest = async (): Promise<void> => {
    for (let next = rest.next(); !next.done; next = rest.next()) {
      try {
        await provider.fetch(next.value);
      } catch (error) {
        if (!(error instanceof TallystickError) || error.retryable) throw error;
        wrong.set(next.value, error.message);
      }
    }
  };
  await Promise.all(Array.from({ length: FETCHES }, fetchRest));
  return wrong;
}
