/** Validators, preconditions and ranges of files, as RFC 9110 has them. */
import { expect } from "chai";
import type { ByteRange } from "../../offchain/agent/read/byte-range.ts";
import { fileAnswer, type RequestHeaders } from "../../offchain/serve/file-answer.ts";
import { collect } from "../helpers/promises.ts";

const BYTES = Buffer.from("0123456789");
const ETAG = '"the-tag"';
const MODIFIED = Date.UTC(2020, 0, 2, 3, 4, 5, 678);
const MODIFIED_TEXT = "Thu, 02 Jan 2020 03:04:05 GMT";
const NOW = Date.UTC(2026, 0, 1);

async function ask(headers: RequestHeaders, method: "GET" | "HEAD" = "GET", bytes: Buffer = BYTES) {
  const opened: ByteRange[] = [];
  const file = {
    type: "file",
    name: "f.txt",
    sizeBytes: bytes.length,
    tag: "the-tag",
    modifiedMillis: MODIFIED,
  } as const;
  const open = async ({ start, end }: ByteRange) => {
    opened.push({ start, end });
    return (async function* () {
      yield bytes.subarray(start, end);
    })();
  };
  const answer = fileAnswer({ method, headers }, { file, open }, NOW);
  expect(opened, "nothing is opened before the body is read").to.deep.equal([]);
  const { body } = answer;
  const read = typeof body === "object" ? Buffer.concat((await collect(body)).map((one) => Buffer.from(one))) : body;
  return { ...answer, text: read?.toString() };
}

describe("answers for files", () => {
  it("have the whole file with length, validators and an inert type", async () => {
    const { status, headers, text } = await ask({});
    expect(status).to.equal(200);
    expect(text).to.equal("0123456789");
    expect(headers).to.include({
      etag: ETAG,
      "last-modified": MODIFIED_TEXT,
      "accept-ranges": "bytes",
      "content-length": "10",
      "content-type": "application/octet-stream",
      "x-content-type-options": "nosniff",
    });
    expect(headers["content-security-policy"]).to.contain("sandbox");
  });

  for (const [range, text, position] of [
    ["bytes=0-3", "0123", "bytes 0-3/10"],
    ["bytes=4-", "456789", "bytes 4-9/10"],
    ["bytes=-3", "789", "bytes 7-9/10"],
    ["bytes=8-100", "89", "bytes 8-9/10"],
    ["bytes=-100", "0123456789", "bytes 0-9/10"],
    ["BYTES= 1-1 ", "1", "bytes 1-1/10"],
  ] as const) {
    it(`are partial for ${range}`, async () => {
      const answer = await ask({ range });
      expect(answer.status).to.equal(206);
      expect(answer.text).to.equal(text);
      expect(answer.headers).to.include({
        "content-range": position,
        "content-length": String(text.length),
        etag: ETAG,
      });
    });
  }

  for (const range of ["bytes=10-", "bytes=10-11", "bytes=-0"]) {
    it(`say the size when ${range} has no byte of the file`, async () => {
      const answer = await ask({ range });
      expect(answer.status).to.equal(416);
      expect(answer.headers["content-range"]).to.equal("bytes */10");
      expect(answer.headers).to.not.have.property("content-length");
    });
  }

  for (const range of [
    "bytes=3-2",
    "bytes=a-b",
    "bytes=",
    "bytes 0-1",
    "lines=0-1",
    "bytes=0-1,3-4",
    "bytes=--1",
    "",
  ]) {
    it(`are whole for the range ${JSON.stringify(range)}, which is to be ignored`, async () => {
      const answer = await ask({ range });
      expect(answer.status).to.equal(200);
      expect(answer.text).to.equal("0123456789");
      expect(answer.headers).to.not.have.property("content-range");
    });
  }

  it("ignore ranges of HEAD, and of an empty file that has none", async () => {
    expect(await ask({ range: "bytes=0-1" }, "HEAD")).to.deep.include({ status: 200 });
    expect((await ask({ range: "bytes=0-1" }, "HEAD")).headers["content-length"]).to.equal("10");
    const empty = await ask({ range: "bytes=-5" }, "GET", Buffer.alloc(0));
    expect(empty.status).to.equal(200);
    expect(empty.headers["content-length"]).to.equal("0");
    expect((await ask({ range: "bytes=0-" }, "GET", Buffer.alloc(0))).status).to.equal(416);
  });

  for (const [ifRange, status] of [
    [ETAG, 206],
    [`W/${ETAG}`, 200],
    ['"other"', 200],
    [MODIFIED_TEXT, 200],
    ["nonsense", 200],
  ] as const) {
    it(`are ${status === 206 ? "partial" : "whole"} if the range is for ${ifRange}`, async () => {
      expect((await ask({ range: "bytes=0-1", "if-range": ifRange })).status).to.equal(status);
    });
  }

  it("ignore what makes an unsatisfiable range conditional on another file", async () => {
    expect((await ask({ range: "bytes=50-", "if-range": '"other"' })).status).to.equal(200);
  });

  for (const [what, headers, status] of [
    ["the tag that the client has", { "if-none-match": ETAG }, 304],
    ["a list with the tag", { "if-none-match": `"a", ${ETAG}` }, 304],
    ["the tag as a weak one", { "if-none-match": `W/${ETAG}` }, 304],
    ["any tag", { "if-none-match": "*" }, 304],
    ["another tag", { "if-none-match": '"a"' }, 200],
    ["another tag and a time that would match", { "if-none-match": '"a"', "if-modified-since": MODIFIED_TEXT }, 200],
    ["the time that the client has", { "if-modified-since": MODIFIED_TEXT }, 304],
    ["a later time", { "if-modified-since": "Fri, 03 Jan 2020 00:00:00 GMT" }, 304],
    ["an earlier time", { "if-modified-since": "Wed, 01 Jan 2020 00:00:00 GMT" }, 200],
    ["no time", { "if-modified-since": "yesterday, more or less" }, 200],
    ["a tag that must match and does", { "if-match": ETAG }, 200],
    ["a tag that must match and is weak", { "if-match": `W/${ETAG}` }, 412],
    ["a tag that must match and does not", { "if-match": '"a"' }, 412],
    ["unmodified since the time", { "if-unmodified-since": MODIFIED_TEXT }, 200],
    ["unmodified since before", { "if-unmodified-since": "Wed, 01 Jan 2020 00:00:00 GMT" }, 412],
    ["a failing precondition before a matching one", { "if-match": '"a"', "if-none-match": ETAG }, 412],
    ["a matching tag before a range", { "if-none-match": ETAG, range: "bytes=0-1" }, 304],
  ] as const) {
    it(`are ${status} for ${what}`, async () => {
      const answer = await ask(headers);
      expect(answer.status).to.equal(status);
      if (status === 304) {
        expect(answer.headers).to.include({ etag: ETAG, "last-modified": MODIFIED_TEXT });
        expect(answer).to.not.have.property("body");
      }
    });
  }

  it("name no time that is in the future", () => {
    const file = { type: "file", name: "f", sizeBytes: 1, tag: "t", modifiedMillis: NOW + 1 } as const;
    const open = async () => (async function* () {})();
    const { headers } = fileAnswer({ method: "HEAD", headers: {} }, { file, open }, NOW);
    expect(headers).to.not.have.property("last-modified");
  });
});
