import { expect } from "chai";
import { exitCodeOf } from "../../offchain/cli/exit-codes.ts";
import { type ErrorCode, InvalidInputError, TallystickError } from "../../offchain/core/errors.ts";
import { ObjectLostError } from "../../offchain/csp/chunks/object-lost.ts";
import { toHttpError } from "../../offchain/daemon/http-errors.ts";
import { DiskFailedError, DiskFullError } from "../../offchain/store/disk/disk-errors.ts";
import { StoreServiceError } from "../../offchain/store/object/store-service.ts";

const EXIT_LOCAL = 4;
const EXIT_NETWORK = 5;
const EXIT_INTEGRITY = 7;

describe("errors of a body as a whole", () => {
  for (const [check, expected] of [
    ["body size", 413],
    ["content type", 415],
    ["body/count", 400],
  ] as const) {
    it(`have status ${expected} when the check is "${check}"`, () => {
      const { status, error, known } = toHttpError(new InvalidInputError("refused", { check }));
      expect([status, error.code, known]).to.deep.equal([expected, "INVALID_INPUT", true]);
    });
  }
});

function serviceError(passing: boolean): StoreServiceError {
  const failure = { reason: "permissions of http://srv.internal", passing };
  return new StoreServiceError("object store http://srv.internal:5001", "reading object bafk", failure, undefined);
}

describe("errors of a daemon's own disk, as its client reads them", () => {
  const systemError = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });

  for (const [what, thrown, check, retryable] of [
    ["a full disk", new DiskFullError("writing object /srv/csp/bafk", systemError), "free disk space", true],
    ["a full disk met by a library", systemError, "free disk space", true],
    ["a failing disk", new DiskFailedError("database /srv/csp.db", { reason: "EIO" }), "storage", false],
    ["an object service that is down", serviceError(true), "storage", true],
    ["an object service that refuses its keys", serviceError(false), "storage", false],
    ["a busy database", new DiskFailedError("database", { reason: "locked", retryable: true }), "storage", true],
  ] as const) {
    it(`tell of ${what} as the daemon's own, without paths and without advice for its operator`, () => {
      const { status, error, known } = toHttpError(thrown);
      expect({ status, known }).to.deep.equal({ status: 503, known: true });
      expect(error).to.include({ code: "STORAGE_UNAVAILABLE", party: "this daemon", check, retryable });
      expect(error.hint).to.match(/another node or provider/);
      expect(JSON.stringify(error)).to.not.match(/srv|free some space|permissions/);
      expect(exitCodeOf(error.code)).to.equal(EXIT_NETWORK);
    });
  }

  it("tell of an object that is lost or damaged by one code, as a failure of integrity", () => {
    const { status, error } = toHttpError(new ObjectLostError("bafk"));
    expect(status).to.equal(410);
    expect(error).to.include({ code: "OBJECT_LOST", party: "provider", expected: "bafk", retryable: false });
    expect(exitCodeOf(error.code)).to.equal(EXIT_INTEGRITY);
  });

  it("never reach a client under a code that the command line takes for its own machine's", () => {
    const codes: ErrorCode[] = ["DISK_FULL", "DISK_FAILED"];
    for (const code of codes) {
      expect(exitCodeOf(code)).to.equal(EXIT_LOCAL);
      const { error } = toHttpError(new TallystickError("any", { code }));
      expect(exitCodeOf(error.code)).to.not.equal(EXIT_LOCAL);
    }
  });
});
