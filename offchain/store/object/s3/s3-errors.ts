/**
 * What errors of s3mini, and answers of S3 services, mean. Bodies of answers are never quoted: they repeat requests.
 */
import { S3ServiceError } from "s3mini";
import { isPassingStatus, retryAfterOf, type ServiceFailure } from "../store-service.ts";

/** An answer that is no answer to the request, or not a whole one. */
export class S3AnswerError extends Error {}

/** An answer with a status that may pass. Thrown in place of s3mini's error, which has no headers. */
export class S3PassingError extends Error {
  readonly status: number;
  readonly headers: Headers;

  constructor(status: number, headers: Headers) {
    super(`status ${status}`);
    this.status = status;
    this.headers = headers;
  }
}

/** The object, or the upload, does not exist. */
export function isAbsent(error: unknown): boolean {
  return error instanceof S3ServiceError && error.status === 404 && error.serviceCode !== "NoSuchBucket";
}

/** There is something already where `If-None-Match` asked for nothing. */
export function isTaken(error: unknown): boolean {
  return error instanceof S3ServiceError && (error.status === 412 || error.status === 409);
}

const HINTS: Readonly<Record<string, string>> = {
  NoSuchBucket: "create the bucket, or correct its name in the configuration",
  InvalidAccessKeyId: "check the credentials",
  SignatureDoesNotMatch: "check the credentials, the region and the endpoint",
  AccessDenied: "the keys need the rights to list, read, write and delete in the bucket",
  RequestTimeTooSkewed: "set the clock of this machine",
};

/** @returns undefined for a failure of the network */
export function explainS3(error: unknown): ServiceFailure | undefined {
  if (error instanceof S3PassingError) {
    return { reason: `it answered ${error.status}`, passing: true, ...retryAfterOf(error.headers) };
  }
  if (error instanceof S3AnswerError) return { reason: error.message, passing: false, again: true };
  if (error instanceof S3ServiceError) {
    const code = /^[A-Za-z]{1,64}$/.test(error.serviceCode ?? "") ? (error.serviceCode ?? "") : "";
    const hint = HINTS[code] ?? (error.status === 403 ? HINTS.AccessDenied : undefined);
    const reason = `it answered ${error.status}${code === "" || code === "Unknown" ? "" : ` ${code}`}`;
    return { reason, passing: isPassingStatus(error.status), ...(hint === undefined ? {} : { hint }) };
  }
  return undefined;
}
