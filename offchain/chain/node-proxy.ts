/**
 * Proxies from the environment: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in either letter case. Node's `fetch` ignores
 * them unless told otherwise, and ethers sends its requests by `node:http`, which ignores them too. For Node only; a
 * program calls this once, before its first request.
 */

import type { FetchRequest } from "ethers";
import { InvalidInputError } from "../core/errors.ts";

let proxied = false;

/** Whether requests of this process go through a proxy. */
export function isProxied(): boolean {
  return proxied;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Sends the requests of `fetch` and of ethers through the proxies that the environment names. Does nothing when it
 * names none.
 *
 * @throws InvalidInputError naming the variable whose value is no address; the value may hold a password and is not
 *   shown
 */
export async function useProxyFromEnvironment(environment: Environment = process.env): Promise<void> {
  const httpProxy = proxyAddress(environment, "http_proxy", "HTTP_PROXY");
  const httpsProxy = proxyAddress(environment, "https_proxy", "HTTPS_PROXY");
  if (httpProxy === undefined && httpsProxy === undefined) return;
  proxied = true;
  // Loaded only when there is a proxy: they would slow down every start. In the joined programs a CommonJS package that
  // is imported dynamically has its exports in `default` alone.
  const imported: typeof import("undici") & { default?: typeof import("undici") } = await import("undici");
  const { EnvHttpProxyAgent, setGlobalDispatcher } = imported.default ?? imported;
  const noProxy = environment.no_proxy ?? environment.NO_PROXY;
  setGlobalDispatcher(
    new EnvHttpProxyAgent({
      ...(httpProxy === undefined ? {} : { httpProxy }),
      ...(httpsProxy === undefined ? {} : { httpsProxy }),
      ...(noProxy === undefined ? {} : { noProxy }),
    }),
  );
  const { FetchRequest, makeError } = await import("ethers");
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

/** The first of the variables that is set; `host:port` stands for `http://host:port`, as it does for curl. */
function proxyAddress(environment: Environment, ...names: readonly string[]): string | undefined {
  const name = names.find((one) => (environment[one] ?? "").trim() !== "");
  if (name === undefined) return undefined;
  const text = (environment[name] ?? "").trim();
  const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (/^https?:\/\/[^/"'\s]+\/?$/i.test(address) && URL.canParse(address)) return address;
  throw new InvalidInputError(`the environment variable ${name} is not the address of a proxy`, {
    party: "you",
    check: name,
    expected: "http://host:port or host:port",
    hint: "correct the variable or unset it",
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
