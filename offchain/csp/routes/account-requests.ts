/** What every route for accounts begins with: a session, and a count of the account's requests. */
import type { onRequestAsyncHookHandler } from "fastify";
import { type Sessions, sessionOf } from "../../daemon/sessions.ts";
import type { AccountQuotas } from "../quotas.ts";

/** @returns the hooks of a route */
export function forAccounts(sessions: Sessions, quotas: AccountQuotas): onRequestAsyncHookHandler[] {
  const count: onRequestAsyncHookHandler = async (request) => quotas.countRequest(sessionOf(request).account);
  return [sessions.requireSession, count];
}
