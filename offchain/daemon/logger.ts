/**
 * The daemons' log: JSON lines on stderr (stdout carries only the ready line). Fields that could hold a secret are replaced
 * before they are written, whatever a caller passes.
 */

import { destination, type Logger, pino } from "pino";

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

/** A logger for one daemon. Writes are synchronous, so that the last lines before a crash are not lost. */
export function createLogger(name: string, level = "info"): Logger {
  return pino(
    {
      name,
      level,
      redact: {
        paths: [...SECRET_FIELDS, ...SECRET_FIELDS.map((field) => `*.${field}`), "req.headers.authorization"],
        censor: "[redacted]",
      },
    },
    destination({ dest: 2, sync: true }),
  );
}
