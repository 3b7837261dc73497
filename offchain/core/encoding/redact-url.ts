/**
 * Removes secrets from URLs. Providers of RPC endpoints put keys into the path (`/v2/<key>`),
 * the query or the user information, so errors, `--json` documents and logs show the scheme and the host alone.
 */

/**
 * `https://user:secret@host:1/v2/key?x=y` becomes `https://host:1/…`; a text that is no URL comes back as `<address>`.
 */
export function redactUrl(address: string | URL): string {
  const text = String(address);
  if (!URL.canParse(text)) return "<address>";
  const { protocol, host, pathname, search, hash } = new URL(text);
  return `${protocol}//${host}${pathname.length > 1 || search !== "" || hash !== "" ? "/…" : ""}`;
}

/** An address in running text: up to a blank, a quote or a bracket, without the punctuation that ends a sentence. */
const ADDRESS = /\b(?:https?|wss?):\/\/[^\s"'<>`{}|\\^]+/gi;
const TRAILING = /[.,;:!?)\]]+$/;

/** Redacts every http, https, ws and wss address in a text. */
export function redactUrlsIn(text: string): string {
  return text.replace(ADDRESS, (found) => {
    const trailing = TRAILING.exec(found)?.[0] ?? "";
    return redactUrl(found.slice(0, found.length - trailing.length)) + trailing;
  });
}

/** Segments of routes are words; keys are longer. */
const LONGEST_WORD = 15;

/**
 * The parts of one URL that `redactUrl` hides, as they are written there and decoded: for texts that quote a part
 * without the URL.
 *
 * @returns no part shorter than 8 characters, because such a part occurs in ordinary text.
 */
export function secretsOfUrl(url: string): string[] {
  const [, authority = "", path = "", suffix = ""] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)([^?#]*)(.*)$/is.exec(url) ?? [];
  const user = authority.lastIndexOf("@");
  const userParts = user < 0 ? [] : authority.slice(0, user).split(":");
  const segments = path.split("/").filter((segment) => segment.length > LONGEST_WORD);
  const values = suffix.split(/[?&#;]/).flatMap((pair) => pair.split("="));
  return [...userParts, ...segments, ...values]
    .flatMap((part) => [part, decoded(part)])
    .filter((part, position, all) => part.length >= 8 && all.indexOf(part) === position);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
