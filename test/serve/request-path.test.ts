/** Paths of requests: every name there and back, and nothing that leads elsewhere. */
import { expect } from "chai";
import fc from "fast-check";
import { encodeComponent, parseRequestPath } from "../../offchain/serve/request-path.ts";
import { arbitraryName } from "../helpers/recipes.ts";

describe("paths of requests", () => {
  it("carry every name a file can have, and consist of ASCII alone", () => {
    fc.assert(
      fc.property(fc.array(arbitraryName, { minLength: 1, maxLength: 4 }), fc.boolean(), (components, hasSlash) => {
        const target = `/${components.map(encodeComponent).join("/")}${hasSlash ? "/" : ""}`;
        expect(target).to.match(/^[A-Za-z0-9\-._~%/]+$/);
        // A client that resolves dots does not change the path.
        expect(new URL(target, "http://host").pathname).to.equal(target);
        expect(parseRequestPath(target)).to.deep.equal({ components, hasSlash });
      }),
    );
  });

  for (const [target, components, hasSlash] of [
    ["/", [], true],
    ["/a", ["a"], false],
    ["/a/?depth=1", ["a"], true],
    ["/a?x=/../b", ["a"], false],
    ["/a#b", ["a"], false],
    ["/%61%2e%2E", ["a.."], false],
    ["/%25%32%46", ["%2F"], false],
    ["/...", ["..."], false],
    ["/a%5cb", ["a\\b"], false],
    ["/C:", ["C:"], false],
    ["/\u00c3\u00a9", ["é"], false],
  ] as const) {
    it(`are read from ${target}`, () => {
      expect(parseRequestPath(target)).to.deep.equal({ components, hasSlash });
    });
  }

  for (const [what, target] of [
    ["nothing", ""],
    ["no leading slash", "a"],
    ["another form", "*"],
    ["a component that leads up", "/a/../b"],
    ["an encoded component that leads up", "/a/%2e%2e/b"],
    ["a half encoded one", "/a/.%2E"],
    ["one that stays", "/./a"],
    ["an encoded one that stays", "/%2e/"],
    ["an empty component", "/a//b"],
    ["two slashes at the start", "//etc"],
    ["two slashes at the end", "/a//"],
    ["an encoded slash", "/a%2fb"],
    ["an encoded slash that leads up", "/..%2f..%2fetc"],
    ["an encoded NUL", "/a%00"],
    ["an escape that is cut off", "/a%2"],
    ["an escape that is none", "/a%zz"],
    ["a bare percent sign", "/100%"],
  ] as const) {
    it(`refuse ${what}`, () => {
      expect(parseRequestPath(target)).to.equal(undefined);
    });
  }
});
