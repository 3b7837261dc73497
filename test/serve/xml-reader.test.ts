/** The reader of XML, and requests for properties in it. */
import { expect } from "chai";
import fc from "fast-check";
import { parseDepth, parsePropfind } from "../../offchain/serve/dav/propfind-request.ts";
import { readXml } from "../../offchain/serve/dav/xml-reader.ts";
import { expectRejection } from "../helpers/rejection.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const read = (text: string) => readXml(bytes(text));

describe("XML documents", () => {
  it("are read with their namespaces, prefixes and defaults", () => {
    const text = `\ufeff<?xml version="1.0" encoding="UTF-8"?>
      <!-- a comment -->
      <a:propfind xmlns:a="DAV:" xmlns='urn:x' b='&lt;&#233;&#x1F600;"'><a:prop  ><p/><q xmlns=""/>
        <a:r xmlns:a="urn:y" a:s="1"><![CDATA[<not><read>]]> text &amp; more</a:r></a:prop></a:propfind>
      <?instruction x?>`;
    expect(read(text)).to.deep.equal({
      namespace: "DAV:",
      name: "propfind",
      children: [
        {
          namespace: "DAV:",
          name: "prop",
          children: [
            { namespace: "urn:x", name: "p", children: [] },
            { namespace: "", name: "q", children: [] },
            { namespace: "urn:y", name: "r", children: [] },
          ],
        },
      ],
    });
  });

  for (const [what, text] of [
    ["a document type", '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'],
    ["an external entity", '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'],
    ["entities that expand", '<!DOCTYPE a [<!ENTITY x "xx"><!ENTITY y "&x;&x;">]><a>&y;</a>'],
    ["a document type after the declaration", '<?xml version="1.0"?><!DOCTYPE a><a/>'],
    ["an entity that is not declared", "<a>&nbsp;</a>"],
    ["an entity of an object's own", "<a>&constructor;</a>"],
    ["an entity without an end", "<a>&amp</a>"],
    ["a bare ampersand", "<a b='&'/>"],
    ["a reference to NUL", "<a>&#0;</a>"],
    ["a reference to a surrogate", "<a>&#xD800;</a>"],
    ["a reference beyond Unicode", "<a>&#x110000;</a>"],
    ["no element", ""],
    ["white space alone", "  \n"],
    ["text alone", "hello"],
    ["text after the element", "<a/>x"],
    ["two elements", "<a/><b/>"],
    ["an element that is not closed", "<a><b></a>"],
    ["an element that is closed twice", "<a></a></a>"],
    ["an end before the start", "</a>"],
    ["tags that cross", "<a><b></a></b>"],
    ["a close tag of another prefix", '<x:a xmlns:x="u" xmlns:y="u"></y:a>'],
    ["a tag that is cut off", "<a"],
    ["an attribute without a value", "<a b></a>"],
    ["an attribute without quotes", "<a b=c/>"],
    ["an attribute twice", "<a b='1' b='2'/>"],
    ["a tag inside an attribute", "<a b='<'/>"],
    ["no space between attributes", "<a b='1'c='2'/>"],
    ["a prefix that is not bound", "<D:a/>"],
    ["a prefix of an attribute that is not bound", "<a D:b='1'/>"],
    ["a prefix that is bound to nothing", '<a xmlns:D=""/>'],
    ["the prefix xmlns, bound", '<a xmlns:xmlns="u"/>'],
    ["the prefix xml, bound to something else", '<a xmlns:xml="u"/>'],
    ["a control character", "<a>\u0001</a>"],
    ["another encoding", '<?xml version="1.0" encoding="ISO-8859-1"?><a/>'],
    ["a declaration in the middle", '<a/><?xml version="1.0"?>'],
    ["a comment with two hyphens", "<a><!-- -- --></a>"],
    ["a comment that is not closed", "<a><!-- </a>"],
    ["the end of a section outside of one", "<a>]]></a>"],
    ["a section outside of the element", "<![CDATA[x]]><a/>"],
    ["a name that starts with a digit", "<1/>"],
    ["white space that is none of XML", "<a\u00a0b='1'/>"],
    ["too much depth", `${"<a>".repeat(17)}${"</a>".repeat(17)}`],
    ["too many elements", `<a>${"<b/>".repeat(512)}</a>`],
    ["too many attributes", `<a ${Array.from({ length: 65 }, (_, n) => `b${n}=''`).join(" ")}/>`],
  ] as const) {
    it(`are refused with ${what}`, () => {
      expect(expectRejection(() => read(text), "INVALID_INPUT").check).to.equal("XML document");
    });
  }

  it("are refused in UTF-16 and in broken UTF-8", () => {
    expectRejection(() => readXml(Uint8Array.from(Buffer.from("\ufeff<a/>", "utf16le"))), "INVALID_INPUT");
    expectRejection(() => readXml(Uint8Array.of(0x3c, 0x61, 0xff, 0x2f, 0x3e)), "INVALID_INPUT");
  });

  it("are read or refused, whatever they are, and in little time", () => {
    const pieces = fc.constantFrom("<", ">", "/", "a", ":", "=", '"', "'", "&", ";", "!--", "-->", "?", " ", "xmlns");
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
        try {
          read(parts.join(""));
        } catch (error) {
          expect(error).to.have.property("code", "INVALID_INPUT");
        }
      }),
      { numRuns: 500 },
    );
    const started = performance.now();
    for (const part of [" ", "<!--", "<a ", "&", "a", "<?a ", "<![CDATA[", "a=' "]) {
      expectRejection(() => read(`<a ${part.repeat(65_536 / part.length)}`), "INVALID_INPUT");
      expectRejection(() => read(`<a>${part.repeat(65_536 / part.length)}`), "INVALID_INPUT");
    }
    expect(performance.now() - started).to.be.lessThan(5000);
  });
});

describe("requests for properties", () => {
  const asked = (inside: string) => parsePropfind(bytes(`<D:propfind xmlns:D="DAV:">${inside}</D:propfind>`));

  it("ask for all properties, for names, or for some", () => {
    expect(parsePropfind(new Uint8Array(0))).to.deep.equal({ kind: "all" });
    expect(asked("<D:allprop/>")).to.deep.equal({ kind: "all" });
    expect(asked("<D:allprop/><D:include><D:x/></D:include>")).to.deep.equal({ kind: "all" });
    expect(asked("<D:propname/>")).to.deep.equal({ kind: "names" });
    expect(asked('<x xmlns="urn:new"/><D:prop><D:getetag/><y xmlns="urn:y"/></D:prop>')).to.deep.equal({
      kind: "some",
      properties: [
        { namespace: "DAV:", name: "getetag" },
        { namespace: "urn:y", name: "y" },
      ],
    });
  });

  it("are refused when they ask for nothing, for two things, or are something else", () => {
    for (const inside of ["", "<D:x/>", "<D:prop/><D:allprop/>", "<prop/>"]) {
      expectRejection(() => asked(inside), "INVALID_INPUT");
    }
    expectRejection(() => parsePropfind(bytes("<propfind><allprop/></propfind>")), "INVALID_INPUT");
    expectRejection(() => parsePropfind(bytes('<D:lockinfo xmlns:D="DAV:"/>')), "INVALID_INPUT");
  });

  it("have a depth of 0, 1 or infinity", () => {
    expect(["0", "1", "Infinity", undefined, "2", "1,noroot", ""].map(parseDepth)).to.deep.equal([
      0,
      1,
      "infinity",
      "infinity",
      undefined,
      undefined,
      undefined,
    ]);
  });
});
