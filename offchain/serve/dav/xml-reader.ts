/**
 * A strict reader of small XML documents: Extensible Markup Language 1.0 (Fifth Edition) with Namespaces in XML 1.0,
 * without document types. Therefore there are no entities but the five of the language, and nothing expands. What is
 * not well-formed is refused (RFC 4918, section 8.2).
 *
 * Text is checked and not kept: bodies of PROPFIND have none that matters.
 */

import { InvalidInputError } from "../../core/errors.ts";

export interface XmlElement {
  /** Empty for a name in no namespace. */
  readonly namespace: string;
  readonly name: string;
  readonly children: readonly XmlElement[];
}

const MAX_DEPTH = 16;
const MAX_ELEMENTS = 512;
const MAX_ATTRIBUTES = 64;

const XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace";
const XMLNS_NAMESPACE = "http://www.w3.org/2000/xmlns/";

const NC_NAME = "[\\p{L}_][\\p{L}\\p{N}\\p{M}.\\-_\\u00b7]*";
const Q_NAME = `(?:${NC_NAME}:)?${NC_NAME}`;
/** White space of XML, which is less than that of JavaScript. */
const S = "[ \\t\\r\\n]";
const PATTERNS = {
  declaration: new RegExp(`<\\?xml${S}+version${S}*=${S}*(?:"1\\.[0-9]+"|'1\\.[0-9]+')([^?]*)\\?>`, "y"),
  comment: /<!--(?:(?!--)[\s\S])*-->/y,
  instruction: new RegExp(`<\\?(?!xml[ \\t\\r\\n?])${NC_NAME}(?:${S}(?:(?!\\?>)[\\s\\S])*)?\\?>`, "yiu"),
  cdata: /<!\[CDATA\[(?:(?!\]\]>)[\s\S])*\]\]>/y,
  open: new RegExp(`<(${Q_NAME})`, "yu"),
  attribute: new RegExp(`${S}+(${Q_NAME})${S}*=${S}*(?:"([^<"]*)"|'([^<']*)')`, "yu"),
  openEnd: new RegExp(`${S}*(/?)>`, "y"),
  close: new RegExp(`</(${Q_NAME})${S}*>`, "yu"),
  text: /[^<]+/y,
} as const;

/** What XML 1.0 does not allow anywhere. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are exactly the characters that are refused
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;

const ENTITIES: ReadonlyMap<string, string> = new Map([
  ["lt", "<"],
  ["gt", ">"],
  ["amp", "&"],
  ["quot", '"'],
  ["apos", "'"],
]);

interface OpenElement {
  readonly tag: string;
  readonly namespace: string;
  readonly name: string;
  readonly children: XmlElement[];
  /** Namespaces by prefix; the empty prefix is the default. */
  readonly scope: ReadonlyMap<string, string>;
}

/**
 * Reads a document in UTF-8.
 * @throws InvalidInputError for what is not well-formed, has a document type, or exceeds a limit
 */
export function readXml(bytes: Uint8Array): XmlElement {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw refused("it is not UTF-8");
  }
  return new XmlReader(text).read();
}

class XmlReader {
  readonly #text: string;
  #at = 0;
  #elements = 0;
  readonly #open: OpenElement[] = [];
  #root: XmlElement | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  read(): XmlElement {
    if (FORBIDDEN.test(this.#text)) throw refused("it has a character that XML does not allow");
    this.#readDeclaration();
    while (this.#at < this.#text.length) this.#readNext();
    if (this.#open.length > 0 || this.#root === undefined) throw refused("it ends too early");
    return this.#root;
  }

  #readDeclaration(): void {
    const [, rest] = this.#match(PATTERNS.declaration) ?? [];
    const [, encoding] = /encoding\s*=\s*["']([^"']*)["']/.exec(rest ?? "") ?? [];
    if (encoding !== undefined && !/^(utf-8|us-ascii)$/i.test(encoding)) throw refused("its encoding is not UTF-8");
  }

  #readNext(): void {
    const { comment, instruction, cdata, text } = PATTERNS;
    if (this.#match(comment) !== undefined || this.#match(instruction) !== undefined) return;
    if (this.#text.startsWith("<!DOCTYPE", this.#at)) throw refused("it has a document type");
    if (this.#open.length > 0 && this.#match(cdata) !== undefined) return;
    const characters = this.#match(text)?.[0];
    if (characters !== undefined) this.#checkText(characters);
    else if (this.#text.startsWith("</", this.#at)) this.#close();
    else this.#openElement();
  }

  #checkText(characters: string): void {
    if (this.#open.length === 0 && /[^ \t\r\n]/.test(characters)) throw refused("it has text outside its element");
    if (characters.includes("]]>")) throw refused("it has an end of a section that was not begun");
    resolveEntities(characters);
  }

  #openElement(): void {
    const tag = this.#match(PATTERNS.open)?.[1];
    if (tag === undefined) throw refused("it is not well-formed");
    if (this.#root !== undefined) throw refused("it has a second element at the top");
    this.#elements += 1;
    if (this.#open.length === MAX_DEPTH || this.#elements > MAX_ELEMENTS) throw refused("it has too many elements");
    const attributes = this.#readAttributes();
    const end = this.#match(PATTERNS.openEnd);
    if (end === undefined) throw refused("it has a tag that is not well-formed");
    const scope = scopeWith(this.#open.at(-1)?.scope ?? NO_SCOPE, attributes);
    for (const attribute of attributes.keys()) {
      if (attribute.includes(":")) resolveName(attribute, scope);
    }
    this.#open.push({ tag, ...resolveName(tag, scope), children: [], scope });
    if (end[1] === "/") this.#end();
  }

  #readAttributes(): Map<string, string> {
    const attributes = new Map<string, string>();
    for (let next = this.#match(PATTERNS.attribute); next !== undefined; next = this.#match(PATTERNS.attribute)) {
      const [, name = "", double, single] = next;
      if (attributes.has(name)) throw refused("it has an attribute twice");
      if (attributes.size === MAX_ATTRIBUTES) throw refused("it has too many attributes");
      attributes.set(name, resolveEntities(double ?? single ?? ""));
    }
    return attributes;
  }

  #close(): void {
    const tag = this.#match(PATTERNS.close)?.[1];
    if (tag === undefined || tag !== this.#open.at(-1)?.tag) throw refused("its tags do not match");
    this.#end();
  }

  #end(): void {
    const ended = this.#open.pop();
    if (ended === undefined) return;
    const { namespace, name, children } = ended;
    const parent = this.#open.at(-1);
    if (parent === undefined) this.#root = { namespace, name, children };
    else parent.children.push({ namespace, name, children });
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) return undefined;
    this.#at = pattern.lastIndex;
    return found;
  }
}

const NO_SCOPE: ReadonlyMap<string, string> = new Map([["xml", XML_NAMESPACE]]);

/** Namespaces in XML 1.0, sections 3 and 6. */
function scopeWith(outer: ReadonlyMap<string, string>, attributes: ReadonlyMap<string, string>) {
  const scope = new Map(outer);
  for (const [name, value] of attributes) {
    if (name !== "xmlns" && !name.startsWith("xmlns:")) continue;
    const prefix = name.slice("xmlns:".length);
    const isReserved =
      prefix === "xmlns" || value === XMLNS_NAMESPACE || (prefix === "xml") !== (value === XML_NAMESPACE);
    if (isReserved || (prefix !== "" && value === "")) throw refused("it binds a namespace prefix wrongly");
    scope.set(prefix, value);
  }
  return scope;
}

function resolveName(tag: string, scope: ReadonlyMap<string, string>): { namespace: string; name: string } {
  const colon = tag.indexOf(":");
  const prefix = colon === -1 ? "" : tag.slice(0, colon);
  if (prefix === "xmlns") return { namespace: XMLNS_NAMESPACE, name: tag };
  const namespace = scope.get(prefix) ?? (prefix === "" ? "" : undefined);
  if (namespace === undefined) throw refused("it has a prefix without a namespace");
  return { namespace, name: tag.slice(colon + 1) };
}

/** @throws InvalidInputError for an entity other than the five of the language, and for a character that is none */
function resolveEntities(text: string): string {
  return text.replace(/&([^;&]*;?)/g, (_, reference: string) => {
    const name = reference.slice(0, -1);
    const [, hex, decimal] = /^#(?:x([0-9A-Fa-f]{1,6})|([0-9]{1,7}))$/.exec(name) ?? [];
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    const isCharacter = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    const character = isCharacter ? String.fromCodePoint(code) : ENTITIES.get(name);
    if (!reference.endsWith(";") || character === undefined || FORBIDDEN.test(character)) {
      throw refused("it has a reference that is not defined");
    }
    return character;
  });
}

function refused(reason: string): InvalidInputError {
  return new InvalidInputError(`the XML document is refused: ${reason}`, { party: "client", check: "XML document" });
}
