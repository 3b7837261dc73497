/**
 * Patterns for names and paths: `*` and `?` match within a name, `**` as a name of its own any number of folders,
 * `[a-z]` and `[!a-z]` one of some characters; a backslash takes the next character as it is.
 *
 * Matching goes back to the last wildcard only, which suffices because an earlier match of what lies between two
 * wildcards is never worse than a later one. So it takes time proportional to pattern and path, whatever they are; a
 * regular expression might not.
 */

import { InvalidInputError } from "../../core/errors.ts";

const MAX_PATTERN_LENGTH = 4096;

/** Matches one element of a sequence; `any` matches any number of them. */
type Token<Element> = "any" | ((element: Element) => boolean);
type NameMatcher = (name: string) => boolean;

/**
 * @param pattern with a slash it is held against the whole path, without one against the last name of it
 * @returns whether a path matches
 * @throws InvalidInputError for a malformed pattern
 */
export function globMatcher(pattern: string): (path: string) => boolean {
  if (pattern === "" || pattern.length > MAX_PATTERN_LENGTH) {
    throw malformed(pattern, `1 to ${MAX_PATTERN_LENGTH} characters`);
  }
  if (!pattern.includes("/")) {
    const matches = nameMatcher(pattern, pattern);
    return (path) => matches(path.slice(path.lastIndexOf("/") + 1));
  }
  const names = pattern.replace(/^\/+/, "").split("/");
  const tokens = names.map((name): Token<string> => (name === "**" ? "any" : nameMatcher(name, pattern)));
  // What is in a folder, not the folder itself.
  if (tokens.at(-1) === "any") tokens.push(() => true);
  return (path) => matchAll(tokens, path.split("/"));
}

function nameMatcher(name: string, pattern: string): NameMatcher {
  const tokens = [...nameTokens(name, pattern)];
  return (text) => matchAll(tokens, [...text]);
}

function matchAll<Element>(tokens: readonly Token<Element>[], elements: readonly Element[]): boolean {
  let token = 0;
  let at = 0;
  /** Place after the last wildcard, and the first element that it has not taken yet. */
  let last: { token: number; at: number } | undefined;
  while (at < elements.length) {
    const wanted = tokens[token];
    const element = elements[at];
    if (wanted === "any") {
      token += 1;
      last = { token, at };
    } else if (wanted !== undefined && element !== undefined && wanted(element)) {
      token += 1;
      at += 1;
    } else if (last !== undefined) {
      last.at += 1;
      token = last.token;
      at = last.at;
    } else {
      return false;
    }
  }
  return tokens.slice(token).every((rest) => rest === "any");
}

function* nameTokens(name: string, pattern: string): Generator<Token<string>, void, undefined> {
  const characters = [...name];
  for (let at = 0; at < characters.length; at += 1) {
    const character = characters[at];
    if (character === "*") {
      yield "any";
    } else if (character === "?") {
      yield () => true;
    } else if (character === "[") {
      // A closing bracket right at the start is a member.
      const start = at + (characters[at + 1] === "!" ? 2 : 1);
      const end = characters.indexOf("]", start + 1);
      if (end === -1) throw malformed(pattern, "a bracket that is closed");
      yield characterSet(characters.slice(start, end), start === at + 2, pattern);
      at = end;
    } else {
      if (character === "\\") at += 1;
      const literal = characters[at];
      if (literal === undefined) throw malformed(pattern, "a character after the backslash");
      yield (one) => one === literal;
    }
  }
}

function characterSet(members: readonly string[], isNegated: boolean, pattern: string): (one: string) => boolean {
  const codeOf = (character: string | undefined) => character?.codePointAt(0) ?? 0;
  const ranges: [from: number, to: number][] = [];
  for (let at = 0; at < members.length; at += 1) {
    const isRange = members[at + 1] === "-" && at + 2 < members.length;
    const range: [number, number] = [codeOf(members[at]), codeOf(members[isRange ? at + 2 : at])];
    if (range[0] > range[1]) throw malformed(pattern, "a range whose ends are in order");
    ranges.push(range);
    if (isRange) at += 2;
  }
  return (one) => ranges.some(([from, to]) => from <= codeOf(one) && codeOf(one) <= to) !== isNegated;
}

function malformed(pattern: string, expected: string): InvalidInputError {
  return new InvalidInputError("the pattern is malformed", {
    party: "you",
    check: "pattern",
    expected,
    received: JSON.stringify(pattern.slice(0, 80)),
  });
}
