/**
 * Configuration of a daemon: one JSON file, checked against a schema before anything starts. Paths in it are relative
 * to the folder of the file, so that a configuration can be moved together with its data. It holds no secret.
 */

import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Static, TObject, TSchema } from "@sinclair/typebox";
import { Errors as errorsOf, ValueErrorType } from "@sinclair/typebox/errors";
import * as Type from "@sinclair/typebox/type";
import { similarWord } from "../core/encoding/similar-word.ts";
import { InvalidInputError } from "../core/errors.ts";
import { firstMismatch } from "../core/wire/schema.ts";
import { systemReason } from "../store/disk/disk-errors.ts";
import { type AdmissionRule, AdmissionSchema } from "./admission.ts";

const PathText = Type.String({ minLength: 1, maxLength: 4096 });

/** Fields every daemon's configuration has; spread them into the daemon's own `Type.Object`. */
export const daemonConfigFields = {
  listen: Type.Object(
    { host: Type.String({ minLength: 1 }), port: Type.Integer({ minimum: 0, maximum: 65_535 }) },
    { additionalProperties: false },
  ),
  /** The URL others reach the daemon by, when it differs from the address it listens on (reverse proxy). */
  publicUrl: Type.Optional(Type.String({ pattern: "^https?://[^\\s?#]+$", maxLength: 256 })),
  dataDir: PathText,
  deploymentFile: PathText,
  keystoreFile: PathText,
  /** Read when the environment variable TALLYSTICK_PASSPHRASE is absent. */
  passphraseFile: Type.Optional(PathText),
  /** Origins of web pages that may use the daemon, or `*`; none unless given. */
  allowedOrigins: Type.Optional(
    Type.Array(Type.String({ pattern: "^(?:\\*|https?://[^\\s/?#]+)$", maxLength: 256 }), { maxItems: 64 }),
  ),
  /** Reverse proxies before the daemon: addresses or networks (CIDR) whose `X-Forwarded-For` says who asks. */
  trustedProxies: Type.Optional(
    Type.Array(Type.String({ pattern: "^[0-9a-fA-F.:]+(?:/\\d{1,3})?$", maxLength: 64 }), { maxItems: 64 }),
  ),
  /** The most that a transaction of the daemon pays, gwei per unit of gas; 500 unless given. */
  maximumFeeGwei: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1_000_000 })),
  /** Which accounts may open sessions; all of them unless given. */
  admission: Type.Optional(AdmissionSchema),
  logLevel: Type.Optional(
    Type.Union(["fatal", "error", "warn", "info", "debug", "trace", "silent"].map((level) => Type.Literal(level))),
  ),
};

/** What every daemon's configuration has, typed. */
export interface DaemonConfig {
  listen: { host: string; port: number };
  publicUrl?: string;
  dataDir: string;
  deploymentFile: string;
  keystoreFile: string;
  passphraseFile?: string;
  allowedOrigins?: string[];
  trustedProxies?: string[];
  maximumFeeGwei?: number;
  admission?: AdmissionRule;
  logLevel?: string;
}

/**
 * Reads and parses a JSON file of this machine.
 *
 * @throws InvalidInputError naming the file when it cannot be read or is not JSON.
 */
export function readJsonFile(file: string, what: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new InvalidInputError(`${what} ${file} cannot be read: ${systemReason(cause)}`, {
      check: "file",
      hint: "check the path and its permissions; paths in a configuration are relative to its folder",
      cause,
    });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new InvalidInputError(`${what} ${file} is not JSON`, { check: "JSON", cause });
  }
}

/**
 * Looked for first, because a field that is written wrong is missing as well, and its name tells more.
 * @throws InvalidInputError naming the field and the one that was most likely meant
 */
function refuseUnknownField(schema: TSchema, file: string, json: unknown): void {
  for (const { type, path } of errorsOf(schema, json)) {
    if (type !== ValueErrorType.ObjectAdditionalProperties) continue;
    const names = path.slice(1).split("/");
    const name = names.pop() ?? "";
    const parent = names.reduce<TSchema | undefined>((at, each) => at?.properties?.[each], schema);
    const similar = similarWord(name, Object.keys(parent?.properties ?? {}));
    throw new InvalidInputError(`configuration ${file} has an unknown field ${path}`, {
      check: "configuration schema",
      hint: similar === undefined ? "docs/operating.md lists the fields" : `did you mean ${similar}?`,
    });
  }
}

/**
 * Reads a configuration file.
 *
 * @param schema a closed `Type.Object` that spreads `daemonConfigFields`.
 * @returns the configuration with absolute paths.
 * @throws InvalidInputError naming the field that does not fit.
 */
export function loadConfig<Schema extends TObject>(schema: Schema, file: string): Static<Schema> & DaemonConfig {
  const json = readJsonFile(file, "configuration");
  refuseUnknownField(schema, file, json);
  const mismatch = firstMismatch(schema as TSchema, json);
  if (mismatch !== undefined) {
    throw new InvalidInputError(`configuration ${file} is wrong at ${mismatch.path}`, {
      check: "configuration schema",
      expected: mismatch.reason,
    });
  }
  const config = json as Static<Schema> & DaemonConfig;
  const base = dirname(resolve(file));
  return {
    ...config,
    dataDir: resolve(base, config.dataDir),
    deploymentFile: resolve(base, config.deploymentFile),
    keystoreFile: resolve(base, config.keystoreFile),
    ...(config.passphraseFile === undefined ? {} : { passphraseFile: resolve(base, config.passphraseFile) }),
  };
}
