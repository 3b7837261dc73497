import { mkdirSync } from "node:fs";
import { expect } from "chai";
import { asDiskError } from "../../../offchain/store/disk/disk-errors.ts";

/** The error of a call of the system with this code. */
function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: something, open 'x'`), { code, syscall: "open" });
}

describe("disk errors", () => {
  it("say what happened in words, and keep the code of the system as what was received", () => {
    for (const [code, words] of [
      ["EACCES", "permission denied"],
      ["EEXIST", "something else is there"],
      ["ENOENT", "it does not exist (any more)"],
      ["EROFS", "the file system is read-only"],
    ] as const) {
      const error = asDiskError(systemError(code), "/srv/out");
      expect(error).to.include({ code: "DISK_FAILED", message: `/srv/out: ${words}`, received: code });
    }
    expect(asDiskError(systemError("EWEIRD"), "/srv/out")).to.include({ message: "/srv/out: EWEIRD" });
  });

  it("are recognised in what Node throws", () => {
    try {
      mkdirSync("/proc/1");
      expect.fail("no error");
    } catch (error) {
      expect(asDiskError(error, "/proc/1")).to.include({ message: "/proc/1: something else is there" });
    }
  });
});
