/**
 * Addresses without what only their owner should read. Providers of RPC endpoints put keys into the path (`/v2/<key>`), the query or the
 * user information, so errors, `--json` documents and logs show the scheme and the host alone.
 */

/** `https://user:secret@host:1/v2/key?x=y` becomes `https://host:1/…`; a text that is no URL comes back as `<address>`. */
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
