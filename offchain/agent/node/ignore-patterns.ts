/**
 * Patterns of gitignore(5), matched in time that is bounded by the length of the pattern times that of the path. A
 * list of patterns may come with somebody else's files, and regular expressions made of them take exponential time.
 *
 * Both levels work alike: a path is a row of names against a row of name patterns and `**`, and a name is a row of
 * characters against a row of characters and `*`. Such a match never needs to go back further than to the latest
 * wildcard (wildmatch.c of git, which decides what else a pattern means). Characters are code points; git's are bytes.
 */

/** Any number of names, or of characters. */
const MANY = Symbol("many");

/** One character: in the ranges, or outside of them. */
interface CharacterSet {
  readonly ranges: readonly (readonly [number, number])[];
  readonly isNegated: boolean;
}
type NamePattern = readonly (CharacterSet | typeof MANY)[];

interface Rule {
  readonly isNegated: boolean;
  readonly isForFolders: boolean;
  /** Names from the top; a single name pattern when the path does not matter. */
  readonly names: readonly (NamePattern | typeof MANY)[];
  readonly isForAnyPath: boolean;
}

const ANY: CharacterSet = { ranges: [], isNegated: true };
const NONE: CharacterSet = { ranges: [], isNegated: false };
const only = (character: string): CharacterSet => {
  const point = pointOf(character);
  return { ranges: [[point, point]], isNegated: false };
};

const CLASSES: Readonly<Record<string, readonly string[]>> = {
  alnum: ["09", "AZ", "az"],
  alpha: ["AZ", "az"],
  blank: ["  ", "\t\t"],
  cntrl: ["\0\x1f", "\x7f\x7f"],
  digit: ["09"],
  graph: ["!~"],
  lower: ["az"],
  print: [" ~"],
  punct: ["!/", ":@", "[`", "{~"],
  space: ["  ", "\t\n", "\r\r"],
  upper: ["AZ"],
  xdigit: ["09", "AF", "af"],
};

export class IgnorePatterns {
  readonly #rules: readonly Rule[];

  /** @param text one pattern a line */
  constructor(text: string) {
    this.#rules = text
      .replace(/^\uFEFF/, "")
      .split(/\r?\n/)
      .flatMap((line) => ruleOf(line) ?? [])
      .reverse();
  }

  /**
   * What the last pattern that matches a path says of it. Whether a folder above it is excluded is not asked.
   * @param path relative to the place of the patterns
   * @returns undefined when none matches
   */
  excludes(path: string, isFolder: boolean): boolean | undefined {
    const names = path.split("/").map(pointsOf);
    const last = names.slice(-1);
    const found = this.#rules.find(
      (rule) => (isFolder || !rule.isForFolders) && matches(rule.names, rule.isForAnyPath ? last : names, isNamed),
    );
    return found === undefined ? undefined : !found.isNegated;
  }
}

function isNamed(pattern: NamePattern, name: readonly number[]): boolean {
  return matches(pattern, name, isIn);
}

function isIn({ ranges, isNegated }: CharacterSet, point: number): boolean {
  return ranges.some(([from, to]) => from <= point && point <= to) !== isNegated;
}

/** After a failure, the latest wildcard takes one item more; an earlier one could not do better. */
function matches<Pattern extends object, Item>(
  patterns: readonly (Pattern | typeof MANY)[],
  items: readonly Item[],
  fits: (pattern: Pattern, item: Item) => boolean,
): boolean {
  let at = 0;
  let wildcard: { readonly at: number; taken: number } | undefined;
  for (let k = 0; k < items.length; ) {
    const pattern = patterns[at];
    if (pattern === MANY) {
      wildcard = { at, taken: k };
      at += 1;
    } else if (pattern !== undefined && fits(pattern, items[k] as Item)) {
      at += 1;
      k += 1;
    } else {
      if (wildcard === undefined) return false;
      wildcard.taken += 1;
      k = wildcard.taken;
      at = wildcard.at + 1;
    }
  }
  return patterns.slice(at).every((rest) => rest === MANY);
}

/** @returns undefined for a line without a pattern */
function ruleOf(line: string): Rule | undefined {
  if (line.startsWith("#")) return undefined;
  let pattern = withoutTrailingSpaces(line);
  const isNegated = pattern.startsWith("!");
  if (isNegated) pattern = pattern.slice(1);
  const isForFolders = pattern.endsWith("/");
  if (isForFolders) pattern = pattern.slice(0, -1);
  if (pattern === "") return undefined;
  const isForAnyPath = !pattern.includes("/");
  const names = namesOf(pattern.startsWith("/") ? pattern.slice(1) : pattern);
  if (names === undefined) return undefined;
  if (isForAnyPath) return { isNegated, isForFolders, isForAnyPath, names: names.map(asName) };
  // At the end, `**` is what is in a folder, and not the folder.
  if (names.at(-1) === MANY) return { isNegated, isForFolders, isForAnyPath, names: [...names, [MANY]] };
  return { isNegated, isForFolders, isForAnyPath, names };
}

/** Without a slash around it, `**` is `*`. */
function asName(name: NamePattern | typeof MANY): NamePattern {
  return name === MANY ? [MANY] : name;
}

function withoutTrailingSpaces(line: string): string {
  let end = 0;
  for (let k = 0; k < line.length; k++) {
    if (line[k] === " ") continue;
    if (line[k] === "\\") k += 1;
    end = k + 1;
  }
  return line.slice(0, end);
}

/** @returns undefined for a pattern that matches nothing */
function namesOf(pattern: string): (NamePattern | typeof MANY)[] | undefined {
  const characters = Array.from(pattern);
  const names: (NamePattern | typeof MANY)[] = [];
  let name: (CharacterSet | typeof MANY)[] = [];
  /** The name so far as it is written, if it consists of stars. */
  let stars = 0;
  const endName = () => {
    names.push(stars >= 2 && name.length === stars ? MANY : name);
    name = [];
    stars = 0;
  };
  for (let k = 0; k < characters.length; k++) {
    const character = characters[k] ?? "";
    if (character === "/") endName();
    else if (character === "*") {
      name.push(MANY);
      stars += 1;
    } else if (character === "?") name.push(ANY);
    else if (character === "[") {
      const set = setAt(characters, k);
      if (set === undefined) return undefined;
      name.push(set.set);
      k = set.end;
    } else if (character === "\\") {
      k += 1;
      const escaped = characters[k];
      if (escaped === "/") endName();
      else name.push(escaped === undefined ? NONE : only(escaped));
    } else name.push(only(character));
  }
  endName();
  return names;
}

/**
 * Reads a set in brackets.
 * @param start of the bracket
 * @returns undefined for one without an end, or with an unknown class: then the pattern matches nothing
 */
function setAt(characters: readonly string[], start: number): { set: CharacterSet; end: number } | undefined {
  const ranges: [number, number][] = [];
  let k = start + 1;
  const isNegated = characters[k] === "!" || characters[k] === "^";
  if (isNegated) k += 1;
  /** The character that a range may begin with. */
  let first: number | undefined;
  // A bracket that comes first is a member.
  for (let isFirst = true; isFirst || characters[k] !== "]"; isFirst = false, k++) {
    let character = characters[k];
    if (character === undefined) return undefined;
    const after = characters[k + 1];
    if (character === "-" && first !== undefined && after !== undefined && after !== "]") {
      k += 1;
      const to = after === "\\" ? characters[++k] : after;
      if (to === undefined) return undefined;
      ranges.push([first, pointOf(to)]);
      first = undefined;
      continue;
    }
    if (character === "[" && after === ":") {
      const close = characters.indexOf("]", k + 2);
      if (close === -1) return undefined;
      if (close > k + 2 && characters[close - 1] === ":") {
        const named = CLASSES[characters.slice(k + 2, close - 1).join("")];
        if (named === undefined) return undefined;
        for (const range of named) ranges.push([range.charCodeAt(0), range.charCodeAt(1)]);
        first = undefined;
        k = close;
        continue;
      }
    }
    if (character === "\\") character = characters[++k];
    if (character === undefined) return undefined;
    first = pointOf(character);
    ranges.push([first, first]);
  }
  return { set: { ranges, isNegated }, end: k };
}

function pointOf(character: string): number {
  return character.codePointAt(0) ?? 0;
}

function pointsOf(name: string): number[] {
  return Array.from(name, pointOf);
}
