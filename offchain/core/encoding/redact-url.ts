/**
 * Removes credentials from URLs before they reach a message or a log. RPC services put the API key into the user part, the path or
 * the query of the address, so only scheme, host, port and short path segments are shown.
 */

const URL_IN_TEXT = /\b([a-z][a-z0-9+.-]*:\/\/)([^\s"'<>\\`]+)/gi;
const REDACTED = "…";
/** Segments of routes are words; keys are longer. */
const LONGEST_SHOWN_SEGMENT = 15;

/**
 * Replaces the user part, every path segment of 16 or more characters, the query and the fragment of each URL in a text.
 *
 * @param text any text, for example an error message; text outside of URLs is returned unchanged.
 */
export function redactUrl(text: string): string {
  return text.replace(URL_IN_TEXT, (_url, scheme: string, rest: string) => {
    const [, authority = "", path = "", suffix = ""] = /^([^/?#]*)([^?#]*)(.*)$/s.exec(rest) ?? [];
    const user = authority.lastIndexOf("@");
    const host = user < 0 ? authority : `${REDACTED}${authority.slice(user)}`;
    const shown = path
      .split("/")
      .map((segment) => (segment.length > LONGEST_SHOWN_SEGMENT ? REDACTED : segment))
      .join("/");
    return `${scheme}${host}${shown}${suffix === "" ? "" : `${suffix.charAt(0)}${REDACTED}`}`;
  });
}

/**
 * The parts of one URL that `redactUrl` hides, as they are written there and decoded: for texts that quote a part without the URL.
 *
 * @returns no part shorter than 8 characters, because such a part occurs in ordinary text.
 */
export function secretsOfUrl(url: string): string[] {
  const [, authority = "", path = "", suffix = ""] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)([^?#]*)(.*)$/is.exec(url) ?? [];
  const user = authority.lastIndexOf("@");
  const userParts = user < 0 ? [] : authority.slice(0, user).split(":");
  const segments = path.split("/").filter((segment) => segment.length > LONGEST_SHOWN_SEGMENT);
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
