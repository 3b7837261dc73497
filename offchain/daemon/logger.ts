/**
 * The daemons' log: JSON lines on stderr (stdout carries only the ready line). Fields that could hold a secret are
 * replaced before they are written, and so are paths, queries and user information of addresses, wherever in a line
 * they are: providers of RPC endpoints put keys there.
 */

import { destination, type Logger, pino } from "pino";
import { redactUrlsIn } from "../core/encoding/redact-url.ts";
import { TallystickError } from "../core/errors.ts";

export type { Logger } from "pino";

const SECRET_FIELDS = [
  "authorization",
  "passphrase",
  "privateKey",
  "signingKey",
  "secret",
  "keyShare",
  "share",
  "seed",
  "token",
  "signature",
];

/** Causes of causes that are logged. */
const MAXIMUM_DEPTH = 5;

/**
 * An error as fields. Errors of libraries carry whole requests and answers, ethers' even in the message: only what
 * explains the failure is taken over.
 */
function errorFields(thrown: unknown, depth = 0): unknown {
  if (!(thrown instanceof Error)) return thrown;
  const facts = thrown instanceof TallystickError ? thrown.toJSON() : {};
  const code = "code" in thrown ? { code: thrown.code } : {};
  const { name: type, cause } = thrown;
  const message = "shortMessage" in thrown ? String(thrown.shortMessage) : thrown.message;
  const calls = thrown.stack?.indexOf("\n    at ") ?? -1;
  const stack = calls < 0 ? undefined : `${type}: ${message}${thrown.stack?.slice(calls)}`;
  const followed = cause !== undefined && depth < MAXIMUM_DEPTH ? { cause: errorFields(cause, depth + 1) } : {};
  return { type, ...facts, message, ...code, stack, ...followed };
}

/** A logger for one daemon. Writes are synchronous, so that the last lines before a crash are not lost. */
export function createLogger(name: string, level = "info"): Logger {
  const stderr = destination({ dest: 2, sync: true });
  return pino(
    {
      name,
      level,
      serializers: { err: (error: unknown) => errorFields(error) },
      redact: {
        paths: [...SECRET_FIELDS, ...SECRET_FIELDS.map((field) => `*.${field}`), "req.headers.authorization"],
        censor: "[redacted]",
      },
    },
    { write: (line: string) => stderr.write(redactUrlsIn(line)) },
  );
}
