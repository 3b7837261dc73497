/** Which requests the calls about data sets become, and that the answers are checked. */

import { concatBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import { CspClient } from "../../../offchain/agent/providers/csp-client.ts";
import { HttpStorageProvider } from "../../../offchain/agent/providers/http-provider.ts";
import { encodedManifestHash } from "../../../offchain/core/audit/manifest.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import type { SessionTokens } from "../../../offchain/http/sessions.ts";
import type { TransportRequest } from "../../../offchain/http/transport.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const word = (digits: string) => `0x${digits.repeat(32)}`;
const address = (digits: string) => `0x${digits.repeat(20)}`;
const SALT = word("5a");
const SEGMENT = word("5e");
const SIGNATURE = `0x${"ab".repeat(65)}`;

const setStatus = {
  salt: SALT,
  auditKeyHash: word("cc"),
  sliceElements: 4096,
  phase: 3,
  state: "preparing",
  powersABytes: 0,
  powersBBytes: 0,
  health: "unknown",
  provenEpochs: 0,
  failedEpochs: 0,
};
const segmentStatus = {
  segment: SEGMENT,
  state: "open",
  firstIndex: 1,
  sliceCount: 1,
  manifestHash: word("3a"),
  commitmentsRoot: word("c0"),
  tagsExpectedBytes: 96,
  tagsBytes: 0,
  checkedSlices: 0,
  expiresAt: 0,
};
const signedAnswer = { id: word("1d"), version: "1", providerSignature: SIGNATURE };
const update = {
  version: "1",
  retirements: 0,
  ranges: "0x",
  contentHash: word("c0"),
  deadlineBlock: 9,
  userSignature: SIGNATURE,
};

/** A value with hex text in place of bytes, as it travels. */
function withText(value: unknown): unknown {
  const text = (_: string, inner: unknown) => (inner instanceof Uint8Array ? toHex(inner) : inner);
  return JSON.parse(JSON.stringify(value, text));
}

const SEED = new Uint8Array(32).fill(5);

describe("requests about data sets", () => {
  let requests: TransportRequest[];
  let answer: unknown;
  const transport = async (request: TransportRequest) => {
    requests.push(request);
    return { status: 200, retryAfter: undefined, body: new TextEncoder().encode(JSON.stringify(answer)) };
  };
  const sessions = {
    with: async (_party: unknown, _account: string, call: (token: string) => Promise<unknown>) => await call("token"),
  } as unknown as SessionTokens;
  const provider = new HttpStorageProvider(new CspClient("http://csp", address("11"), sessions, { transport }));

  beforeEach(() => {
    requests = [];
  });

  const sent = () => {
    const [request] = requests;
    const body = request?.body;
    const text = typeof body === "string" ? JSON.parse(body) : body === undefined ? undefined : concatBytes(...body);
    return [`${request?.method} ${request?.url.replace("http://csp", "")}`, text];
  };
  const bytes = Uint8Array.of(1, 2, 3);
  const X = new Uint8Array(256).fill(1);
  const key = { X, XA: X, XB: X };

  const calls: [string, unknown, () => Promise<unknown>, unknown][] = [
    ["GET /v1/data-sets/:salt", setStatus, () => provider.dataSet(SALT), undefined],
    [
      "PUT /v1/data-sets/:salt",
      setStatus,
      () => provider.beginDataSet(SALT, key, 4096),
      { key: { X: toHex(X), XA: toHex(X), XB: toHex(X) }, sliceElements: 4096 },
    ],
    [
      "PUT /v1/data-sets/:salt/powers-b?offset=96",
      setStatus,
      () => provider.appendPowers(SALT, "powers-b", 96, bytes),
      bytes,
    ],
    [
      "PUT /v1/data-sets/:salt/segments/:segment?firstIndex=7",
      segmentStatus,
      () => provider.beginSegment(SALT, SEGMENT, { firstIndex: 7, seed: SEED, manifest: bytes }),
      concatBytes(encodedManifestHash(bytes), SEED, bytes),
    ],
    [
      "PUT /v1/data-sets/:salt/segments/:segment/tags?offset=0",
      segmentStatus,
      () => provider.appendTags(SALT, SEGMENT, 0, bytes),
      bytes,
    ],
    [
      "POST /v1/data-sets/:salt/segments/:segment/verify",
      segmentStatus,
      () => provider.verifySegment(SALT, SEGMENT),
      undefined,
    ],
    ["POST /v1/data-sets/:salt/updates", signedAnswer, () => provider.updateDataSet(SALT, update), update],
    [
      "POST /v1/data-sets/:salt/audit",
      { proof: "0x0102" },
      () => provider.auditDataSet(SALT, bytes),
      { sealed: "0x010203" },
    ],
    [
      "POST /v1/data-sets/:salt/openings",
      {
        before: word("b0"),
        segments: [{ firstIndex: 1, sliceCount: 1, manifestHash: word("3a"), commitmentsRoot: word("c0") }],
        slices: [
          {
            index: 1,
            blinding: word("b1"),
            pieces: [{ digest: word("d1"), offsetBytes: 0, lengthBytes: 5 }],
            path: [word("a1")],
          },
        ],
      },
      () => provider.openCommitments(SALT, { contentHash: word("c0"), indices: [1] }),
      { contentHash: word("c0"), indices: [1] },
    ],
  ];

  for (const [line, answered, call, body] of calls) {
    it(line, async () => {
      answer = answered;
      const returned = await call();
      expect(withText(returned)).to.deep.equal(answered);
      expect(sent()).to.deep.equal([line.replace(":salt", SALT).replace(":segment", SEGMENT), body]);
      answer = { nonsense: true };
      await expectAsyncRejection(call, "BAD_RESPONSE");
    });
  }

  it("refuse an offer outside the schema", async () => {
    answer = { version: 1 };
    await expectAsyncRejection(() => provider.dataSetOffer(), "BAD_RESPONSE");
    expect(sent()[0]).to.equal("GET /v1/data-set-offer");
  });
});
