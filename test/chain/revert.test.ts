import { expect } from "chai";
import { AbiCoder, type ErrorFragment, Interface, makeError, type ParamType } from "ethers";
import fc from "fast-check";
import { isTemporaryFailure } from "../../offchain/chain/endpoint-errors.ts";
import {
  ChainRevertedError,
  ChainUnavailableError,
  chainError,
  decodeRevert,
  describeRevert,
} from "../../offchain/chain/revert.ts";
import { KeyLedger__factory } from "../../offchain/chain/types/factories/KeyLedger__factory.ts";
import { NodeRegistry__factory } from "../../offchain/chain/types/factories/NodeRegistry__factory.ts";
import { OwnersPolicy__factory } from "../../offchain/chain/types/factories/policies/OwnersPolicy__factory.ts";
import { RecoveryPolicy__factory } from "../../offchain/chain/types/factories/policies/RecoveryPolicy__factory.ts";
import { StorageEscrow__factory } from "../../offchain/chain/types/factories/StorageEscrow__factory.ts";
import { TallystickError } from "../../offchain/core/errors.ts";

const coder = AbiCoder.defaultAbiCoder();
const fragments = [
  NodeRegistry__factory,
  KeyLedger__factory,
  StorageEscrow__factory,
  OwnersPolicy__factory,
  RecoveryPolicy__factory,
]
  .flatMap((factory) => new Interface(factory.abi).fragments)
  .filter((fragment) => fragment.type === "error") as ErrorFragment[];

function arbitraryOf(parameter: ParamType): fc.Arbitrary<unknown> {
  const unsigned = /^uint(\d+)$/.exec(parameter.type);
  if (unsigned !== null) return fc.bigInt(0n, 2n ** BigInt(unsigned[1] ?? 0) - 1n);
  const bytes = /^bytes(\d+)$/.exec(parameter.type);
  const hex = (size: number): fc.Arbitrary<string> =>
    fc.uint8Array({ minLength: size, maxLength: size }).map((value) => `0x${Buffer.from(value).toString("hex")}`);
  if (bytes !== null) return hex(Number(bytes[1]));
  if (parameter.type === "address") return hex(20);
  if (parameter.type === "bool") return fc.boolean();
  if (parameter.type === "string") return fc.string();
  if (parameter.type === "bytes") return fc.uint8Array().map((value) => `0x${Buffer.from(value).toString("hex")}`);
  throw new Error(`no values for ${parameter.type}`);
}

describe("decoding what a contract reverted with", () => {
  it("knows every custom error of every contract, with its arguments by name", () => {
    expect(fragments.length).to.be.greaterThan(40);
    for (const fragment of fragments) {
      fc.assert(
        fc.property(fc.tuple(...fragment.inputs.map(arbitraryOf)), (values) => {
          const revert = decodeRevert(fragment.selector + coder.encode(fragment.inputs, values).slice(2));
          expect(revert.name).to.equal(fragment.name);
          const texts = Object.values(revert.args).map((value) => String(value).toLowerCase());
          expect(texts).to.deep.equal(values.map((value) => String(value).toLowerCase()));
          expect(Object.keys(revert.args)).to.deep.equal(
            fragment.inputs.map((input, position) => input.name || String(position)),
          );
        }),
        { numRuns: 10 },
      );
    }
  });

  it("gives numbers as bigint and addresses with their checksum", () => {
    const data = NodeRegistry__factory.createInterface().encodeErrorResult("ExitPending", [7n, 3n]);
    expect(decodeRevert(data)).to.deep.equal({ name: "ExitPending", args: { exitAt: 7n, nowAt: 3n }, data });
    expect(describeRevert(decodeRevert(data))).to.equal("ExitPending(exitAt: 7, nowAt: 3)");
    const account = "0x5fbdb2315678afecb367f032d93f642f64180aa3";
    const other = NodeRegistry__factory.createInterface().encodeErrorResult("NotRegistered", [account]);
    expect(decodeRevert(other).args.operator).to.equal("0x5FbDB2315678afecb367f032d93F642f64180aa3");
  });

  it("knows reason strings and panics", () => {
    const builtIn = new Interface(["error Error(string)", "error Panic(uint256)"]);
    expect(describeRevert(decodeRevert(builtIn.encodeErrorResult("Error", ["no"])))).to.equal("Error(reason: no)");
    expect(describeRevert(decodeRevert(builtIn.encodeErrorResult("Panic", [0x11n])))).to.equal("Panic(code: 17)");
  });

  it("keeps the bytes of what it does not know", () => {
    expect(decodeRevert("0xdeadbeef00")).to.deep.equal({ name: "Unknown", args: {}, data: "0xdeadbeef00" });
    expect(describeRevert(decodeRevert("0xdeadbeef00"))).to.equal("unknown error 0xdeadbeef00");
    expect(describeRevert(decodeRevert("0x"))).to.equal("no reason given");
  });

  it("takes a known selector with too few bytes for unknown", () => {
    const data = NodeRegistry__factory.createInterface().encodeErrorResult("ExitPending", [7n, 3n]);
    expect(decodeRevert(data.slice(0, -2)).name).to.equal("Unknown");
    expect(decodeRevert(data.slice(0, 10)).name).to.equal("Unknown");
  });
});

describe("errors of the chain", () => {
  const action = "call" as const;
  const reverted = (data: string | null): Error =>
    makeError("execution reverted", "CALL_EXCEPTION", {
      action,
      data,
      reason: null,
      transaction: { to: null, data: "0x" },
      invocation: null,
      revert: null,
    });

  it("say which contract error it was, in fields that survive JSON", () => {
    const data = KeyLedger__factory.createInterface().encodeErrorResult("FutureKeyTime", [10n, 20n]);
    const error = chainError(reverted(data), "recording a key");
    expect(error).to.be.instanceOf(ChainRevertedError);
    expect((error as ChainRevertedError).revert.args).to.deep.equal({ latestAllowed: 10n, received: 20n });
    expect(JSON.parse(JSON.stringify(error))).to.deep.equal({
      code: "CHAIN_REVERTED",
      message: "recording a key was refused by the contract: FutureKeyTime(latestAllowed: 10, received: 20)",
      party: "chain",
      check: "FutureKeyTime",
      received: "FutureKeyTime(latestAllowed: 10, received: 20)",
      retryable: false,
      details: { revert: "FutureKeyTime", arguments: { latestAllowed: "10", received: "20" } },
    });
  });

  it("cope with a revert without data", () => {
    expect(chainError(reverted(null), "x").message).to.equal("x was refused by the contract: no reason given");
  });

  it("leave errors of this project as they are", () => {
    const error = new ChainUnavailableError("x");
    expect(chainError(error, "y")).to.equal(error);
  });

  it("tell broken connections from answers", () => {
    for (const code of ["ECONNREFUSED", "ECONNRESET", "EPIPE", "ETIMEDOUT", "TIMEOUT", "SERVER_ERROR"]) {
      const error = Object.assign(new Error("broken"), { code });
      expect(isTemporaryFailure(error), code).to.equal(true);
      expect(isTemporaryFailure(new Error("outer", { cause: error })), code).to.equal(true);
      expect(chainError(error, "x")).to.be.instanceOf(ChainUnavailableError).with.property("retryable", true);
    }
    for (const error of [reverted("0x"), new Error("no code"), "text", null, undefined]) {
      expect(isTemporaryFailure(error)).to.equal(false);
    }
    expect(chainError(new Error("method not found"), "x")).to.include({
      code: "CHAIN_UNAVAILABLE",
      retryable: false,
      received: "method not found",
    });
  });

  it("name lack of funds and answers that do not decode", () => {
    const funds = makeError("insufficient funds", "INSUFFICIENT_FUNDS", { transaction: {} as never });
    expect(chainError(funds, "x")).to.be.instanceOf(TallystickError).with.property("code", "FUNDS");
    const bad = makeError("could not decode", "BAD_DATA", { value: "0x" });
    expect(chainError(bad, "x")).to.have.property("code", "BAD_RESPONSE");
  });
});
