/** Text inside XML and HTML. */

/** What XML 1.0 cannot hold, whether escaped or not: control characters, unpaired surrogates, two non-characters. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are exactly the characters to be replaced
const NO_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text for an element or for an attribute in quotes. What the format cannot hold becomes U+FFFD. */
export function escapeText(text: string): string {
  return text
    .toWellFormed()
    .replace(NO_XML, "\ufffd")
    .replace(/[&<>"']/g, (character) => ESCAPES[character] ?? "");
}
