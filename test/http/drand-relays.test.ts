import type { IncomingMessage, ServerResponse } from "node:http";
import { bls12_381 } from "@noble/curves/bls12-381.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { expect } from "chai";
import { checkDrandSignature } from "../../offchain/core/randomness/drand.ts";
import { DrandRelays } from "../../offchain/http/drand-relays.ts";
import { beaconOf, startRelay, type TestRelay, testNetwork } from "../helpers/drand.ts";
import { expectAsyncRejection, expectRejection, rejection } from "../helpers/rejection.ts";

const ROUND = 4711n;
const NETWORK = testNetwork("relayed");

function json(body: unknown): (request: IncomingMessage, response: ServerResponse) => void {
  return (_request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(body));
  };
}

describe("drand relays over HTTP", () => {
  const signature = checkDrandSignature(NETWORK, ROUND, NETWORK.sign(ROUND), "test");
  let first: TestRelay;
  let second: TestRelay;
  let relays: DrandRelays;

  beforeEach(async () => {
    first = await startRelay(NETWORK);
    second = await startRelay(NETWORK);
    relays = new DrandRelays([first.url, `${second.url}/`], { deadlineSeconds: 2 });
  });
  afterEach(() => {
    first.close();
    second.close();
  });

  it("take the signature of the first relay, in the form of the chain", async () => {
    expect(await relays.signatureOf(NETWORK, ROUND)).to.deep.equal(signature);
    expect(first.asked).to.deep.equal([`/${NETWORK.chainHash}/public/4711`]);
    expect(second.asked).to.deep.equal([]);
  });

  const beacon = beaconOf(NETWORK, ROUND);
  const outside = new Uint8Array(48);
  outside[0] = 0x80;
  outside[47] = 4;
  const negated = bls12_381.G1.Point.fromBytes(NETWORK.sign(ROUND)).negate().toBytes(true);
  const hostile: Record<string, { answer: TestRelay["answer"]; code: string; check: string }> = {
    "another round, rightly signed": {
      answer: json(beaconOf(NETWORK, ROUND + 1n)),
      code: "BAD_RESPONSE",
      check: "number of the round",
    },
    "another round under this number": {
      answer: json({ ...beaconOf(NETWORK, ROUND + 1n), round: Number(ROUND) }),
      code: "INVALID_SIGNATURE",
      check: "signature of the round",
    },
    "the round of another network": {
      answer: json(beaconOf(testNetwork("another"), ROUND)),
      code: "INVALID_SIGNATURE",
      check: "signature of the round",
    },
    "the negated signature": {
      answer: json({ ...beacon, signature: bytesToHex(negated) }),
      code: "INVALID_SIGNATURE",
      check: "signature of the round",
    },
    "a point outside the subgroup": {
      answer: json({ ...beacon, signature: bytesToHex(outside) }),
      code: "INVALID_POINT",
      check: "signature encoding",
    },
    "the identity": {
      answer: json({ ...beacon, signature: `c0${"00".repeat(47)}` }),
      code: "INVALID_POINT",
      check: "signature encoding",
    },
    "a signature in upper case": {
      answer: json({ ...beacon, signature: beacon.signature.toUpperCase() }),
      code: "BAD_RESPONSE",
      check: "answer schema at /signature",
    },
    "a truncated signature": {
      answer: json({ ...beacon, signature: beacon.signature.slice(2) }),
      code: "BAD_RESPONSE",
      check: "answer schema at /signature",
    },
    "the round as text": {
      answer: json({ ...beacon, round: "4711" }),
      code: "BAD_RESPONSE",
      check: "answer schema at /round",
    },
    "no object": { answer: json(null), code: "BAD_RESPONSE", check: "answer schema at /" },
    "an oversized answer": {
      answer: json({ ...beacon, padding: "x".repeat(8192) }),
      code: "BAD_RESPONSE",
      check: "size of the answer",
    },
    "an endless answer": {
      answer: (_request, response) => {
        const more = (): void => {
          if (!response.destroyed) response.write("x".repeat(1024), () => setImmediate(more));
        };
        more();
      },
      code: "BAD_RESPONSE",
      check: "size of the answer",
    },
    HTML: {
      answer: (_request, response) => {
        response.setHeader("content-type", "text/html");
        response.end("<html>Please accept our cookies</html>");
      },
      code: "BAD_RESPONSE",
      check: "JSON",
    },
    "a redirect": {
      answer: (_request, response) => {
        response.writeHead(302, { location: "http://127.0.0.1:1/" }).end();
      },
      code: "UNREACHABLE",
      check: `/${NETWORK.chainHash}/public/4711`,
    },
    "not found": {
      answer: (_request, response) => {
        response.writeHead(404).end("no such round");
      },
      code: "BAD_RESPONSE",
      check: "status of the answer",
    },
    "an error of the server": {
      answer: (_request, response) => {
        response.writeHead(503).end("overloaded");
      },
      code: "BAD_RESPONSE",
      check: "status of the answer",
    },
    "a broken connection": {
      answer: (request) => {
        request.socket.destroy();
      },
      code: "UNREACHABLE",
      check: `/${NETWORK.chainHash}/public/4711`,
    },
    nothing: { answer: () => undefined, code: "TIMED_OUT", check: `/${NETWORK.chainHash}/public/4711` },
    "the first half, then nothing": {
      answer: (_request, response) => {
        response.write(JSON.stringify(beacon).slice(0, 40));
      },
      code: "TIMED_OUT",
      check: `/${NETWORK.chainHash}/public/4711`,
    },
  };
  for (const [name, { answer, code, check }] of Object.entries(hostile)) {
    it(`go on to the next relay when one answers ${name}`, async () => {
      first.answer = answer;
      expect(await relays.signatureOf(NETWORK, ROUND)).to.deep.equal(signature);
      expect(second.asked).to.have.length(1);
      second.answer = answer;
      const error = await expectAsyncRejection(() => relays.signatureOf(NETWORK, ROUND), "UNREACHABLE");
      expect(error.retryable).to.equal(true);
      const said = error.details?.relays as { party: string; code: string; check: string }[];
      expect(said.map((relay) => [relay.party, relay.code, relay.check])).to.deep.equal([
        [`drand relay ${first.url}`, code, check],
        [`drand relay ${second.url}/`, code, check],
      ]);
    });
  }

  it("are not asked for a round that is not published yet", async () => {
    const published = Number(NETWORK.genesisTime + (ROUND - 1n) * NETWORK.periodSeconds);
    const early = new DrandRelays([first.url], { now: () => published - 5 });
    const error = await rejection(early.signatureOf(NETWORK, ROUND));
    expect([error.code, error.retryable, error.retryAfterSeconds]).to.deep.equal(["NOT_FOUND", true, 5]);
    expect(first.asked).to.deep.equal([]);
    const due = new DrandRelays([first.url], { now: () => published });
    expect(await due.signatureOf(NETWORK, ROUND)).to.deep.equal(signature);
  });

  it("must be at least one", () => {
    expectRejection(() => new DrandRelays([]), "INVALID_INPUT");
  });
});
