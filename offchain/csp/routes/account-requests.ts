/** What every route for accounts begins with: a session, and a count of the account's requests. */
import type { onRequestAsyncHookHandler } from "fastify";
import type { Scope } from "../../core/identity/delegation.ts";
import { type Sessions, sessionOf } from "../../daemon/sessions.ts";
import type { AccountQuotas } from "../quotas.ts";

/**
 * @param scopes of which a delegate has to have one; without any, the route is for accounts themselves
 * @returns the hooks of a route
 */
export function forAccounts(
  sessions: Pick<Sessions, "require">,
  quotas: AccountQuotas,
  ...scopes: Scope[]
): onRequestAsyncHookHandler[] {
  const count: onRequestAsyncHookHandler = async (request) => quotas.countRequest(sessionOf(request).account);
  return [sessions.require(...scopes), count];
}
