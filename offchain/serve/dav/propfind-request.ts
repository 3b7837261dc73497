/** What a PROPFIND request asks for: RFC 4918, sections 9.1 and 14.20. */

import { InvalidInputError } from "../../core/errors.ts";
import { readXml, type XmlElement } from "./xml-reader.ts";

export const DAV = "DAV:";

export interface PropertyName {
  readonly namespace: string;
  readonly name: string;
}

export type PropfindRequest =
  | { readonly kind: "all" }
  | { readonly kind: "names" }
  | { readonly kind: "some"; readonly properties: readonly PropertyName[] };

/** @param body none means all properties. @throws InvalidInputError for another document */
export function parsePropfind(body: Uint8Array): PropfindRequest {
  if (body.length === 0) return { kind: "all" };
  const root = readXml(body);
  if (!isDav(root, "propfind")) throw noPropfind(root);
  // Section 17: what is not known is ignored.
  const [asked, ...more] = root.children.filter((child) =>
    ["prop", "allprop", "propname"].some((name) => isDav(child, name)),
  );
  if (asked === undefined || more.length > 0) throw noPropfind(root);
  if (asked.name === "allprop") return { kind: "all" };
  if (asked.name === "propname") return { kind: "names" };
  return { kind: "some", properties: asked.children.map(({ namespace, name }) => ({ namespace, name })) };
}

/** @returns undefined for what is no depth. No header means infinity */
export function parseDepth(header: string | undefined): 0 | 1 | "infinity" | undefined {
  switch (header?.trim().toLowerCase()) {
    case "0":
      return 0;
    case "1":
      return 1;
    case "infinity":
    case undefined:
      return "infinity";
    default:
      return undefined;
  }
}

function isDav(element: XmlElement, name: string): boolean {
  return element.namespace === DAV && element.name === name;
}

function noPropfind(root: XmlElement): InvalidInputError {
  return new InvalidInputError("the document is no request for properties", {
    party: "client",
    check: "XML document",
    expected: "propfind with one of prop, allprop and propname, all of namespace DAV:",
    received: root.name.slice(0, 100),
  });
}
