/**
 * A wallet program that signs over JSON-RPC, as desktop wallets with hardware wallets attached do on loopback. What it
 * returns opens a keystore, so other machines are asked over TLS only.
 */
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { parseJson, readBounded } from "../../http/bounded-body.ts";
import type { Eip1193Provider } from "../wallet/eip1193.ts";

/** Of an answer: a list of accounts, or a signature. */
const MAXIMUM_ANSWER_BYTES = 64 * 1024;
const LOOPBACK: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** @param url https, or http on loopback @throws InvalidInputError for any other */
export function httpWallet(url: string): Eip1193Provider {
  const place = checked(url);
  let id = 0;
  return {
    request: async ({ method, params = [] }) => {
      id += 1;
      const answer = await post(place, { jsonrpc: "2.0", id, method, params });
      const { result, error } = Object(answer) as { readonly result?: unknown; readonly error?: unknown };
      if (error === undefined || error === null) return result;
      const { code, message } = Object(error) as { readonly code?: unknown; readonly message?: unknown };
      throw Object.assign(new Error(String(message)), { code });
    },
  };
}

function checked(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isSafe = url?.protocol === "https:" || (url?.protocol === "http:" && LOOPBACK.has(url.hostname));
  if (url !== undefined && isSafe) return url;
  throw new InvalidInputError("this is no address of a wallet", {
    party: "you",
    check: "URL of the wallet",
    expected: "an https URL, or http on localhost",
    hint: "whoever reads the answers of the wallet can open your keystore",
  });
}

async function post(url: URL, body: object): Promise<unknown> {
  try {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body), redirect: "error" });
    return parseJson(await readBounded(answer, MAXIMUM_ANSWER_BYTES, "wallet"), "wallet");
  } catch (cause) {
    if (cause instanceof TallystickError) throw cause;
    throw new TallystickError("the wallet does not answer", {
      code: "WALLET_UNAVAILABLE",
      party: "wallet",
      check: "JSON-RPC of the wallet",
      expected: url.host,
      hint: "start the wallet, and check its address",
      cause,
    });
  }
}
