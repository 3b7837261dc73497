/**
 * Cross-origin requests (CORS) of web pages. A page may talk to a daemon only if the daemon's configuration names its
 * origin. Requests carry their token in a header and no cookies, so `*` gives a page no more than any other program
 * has. Standard: Fetch, section 3.2 (CORS protocol).
 */

import type { onRequestAsyncHookHandler } from "fastify";

const METHODS = "GET, POST, PUT";
const REQUEST_HEADERS = "authorization, content-type";
const ANSWER_HEADERS = "retry-after";
/** How long a browser may remember the answer to a preflight: the most that Chromium takes. */
const PREFLIGHT_SECONDS = 7200;

/**
 * A hook that answers preflights and marks answers for the origins given. Without it a browser refuses every page.
 *
 * @param origins such as `https://app.example.org`, compared as they are, or `*`.
 */
export function allowOrigins(origins: readonly string[]): onRequestAsyncHookHandler {
  const allowed = new Set(origins);
  const any = allowed.has("*");
  return async (request, reply) => {
    // Caches must not serve the answer for one origin to another.
    if (!any) reply.header("vary", "origin");
    const { origin } = request.headers;
    if (origin === undefined || !(any || allowed.has(origin))) return;
    reply.header("access-control-allow-origin", any ? "*" : origin);
    reply.header("access-control-expose-headers", ANSWER_HEADERS);
    if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined) return;
    reply.header("access-control-allow-methods", METHODS);
    reply.header("access-control-allow-headers", REQUEST_HEADERS);
    reply.header("access-control-max-age", String(PREFLIGHT_SECONDS));
    return reply.code(204).send();
  };
}
