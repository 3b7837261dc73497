/**
 * Proxies from the environment: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in either letter case. Node's `fetch` ignores
 * them unless told otherwise, and ethers sends its requests by `node:http`, which ignores them too. For Node only; a
 * program calls this once, before its first request.
 */

import { FetchRequest, makeError } from "ethers";

const VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];

/**
 * Sends the requests of `fetch` and of ethers through the proxies that the environment names. Does nothing when it
 * names none.
 */
export async function useProxyFromEnvironment(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<void> {
  if (VARIABLES.every((name) => (environment[name] ?? "") === "")) return;
  // Loaded only when there is a proxy: it would slow down every start.
  const { EnvHttpProxyAgent, setGlobalDispatcher } = await import("undici");
  setGlobalDispatcher(new EnvHttpProxyAgent());
  FetchRequest.registerGetUrl(async (request, cancel) => {
    const cancelled = new AbortController();
    cancel?.addListener(() => cancelled.abort());
    const deadline = AbortSignal.timeout(request.timeout);
    const { method, body } = request;
    const { url, headers } = withoutCredentials(request);
    try {
      const signal = AbortSignal.any([cancelled.signal, deadline]);
      // ethers decides itself about redirects.
      const init = { method, headers, signal, redirect: "manual" as const };
      const response = await fetch(url, body === null ? init : { ...init, body: new Uint8Array(body) });
      return {
        statusCode: response.status,
        statusMessage: response.statusText,
        headers: Object.fromEntries(response.headers),
        body: new Uint8Array(await response.arrayBuffer()),
      };
    } catch (error) {
      if (cancelled.signal.aborted) throw makeError("request cancelled", "CANCELLED");
      if (deadline.aborted) throw makeError("request timeout", "TIMEOUT", { operation: "request", reason: "timeout" });
      throw error;
    }
  });
}

/** `fetch` refuses addresses with user information, which `node:http` sends as a header. */
function withoutCredentials(request: FetchRequest): { url: URL; headers: Record<string, string> } {
  const url = new URL(request.url);
  const { username, password } = url;
  if (username === "" && password === "") return { url, headers: request.headers };
  url.username = "";
  url.password = "";
  const bytes = new TextEncoder().encode(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`);
  return { url, headers: { authorization: `Basic ${btoa(String.fromCharCode(...bytes))}`, ...request.headers } };
}
