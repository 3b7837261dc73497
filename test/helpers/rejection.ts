/** Assertions that a call fails with a typed error of a given code whose message says the given thing. */

import { expect } from "chai";
import { type ErrorCode, TallystickError } from "../../offchain/core/errors.ts";

/** The typed error of a promise that has to fail. @throws whatever else it fails with */
export async function rejection(work: Promise<unknown>): Promise<TallystickError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof TallystickError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

/** @returns the error, for assertions on its facts */
export function expectRejection(call: () => unknown, code: ErrorCode, message?: RegExp): TallystickError {
  try {
    call();
  } catch (error) {
    return checkError(error, code, message);
  }
  throw new Error(`expected ${code}, but the call succeeded`);
}

export async function expectAsyncRejection(
  call: () => Promise<unknown>,
  code: ErrorCode,
  message?: RegExp,
): Promise<TallystickError> {
  try {
    await call();
  } catch (error) {
    return checkError(error, code, message);
  }
  throw new Error(`expected ${code}, but the call succeeded`);
}

function checkError(error: unknown, code: ErrorCode, message: RegExp | undefined): TallystickError {
  if (!(error instanceof TallystickError)) throw error;
  expect(error.code, error.message).to.equal(code);
  if (message !== undefined) expect(error.message).to.match(message);
  return error;
}
