/** Object stores by configuration: one entry per kind, each with the settings it needs. */
import { resolve } from "node:path";
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { InvalidInputError } from "../../core/errors.ts";
import { firstMismatch } from "../../core/wire/schema.ts";
import { checkFileStore, FileObjectStore } from "./file-object-store.ts";
import type { ObjectStore } from "./object-store.ts";
import type { Report } from "./pack/pack-findings.ts";
import type { StoreCheck, StoreCheckOptions } from "./store-check.ts";

/** Objects in packs on this machine. A relative path is below the daemon's data folder. */
const FileStoreConfig = Type.Object(
  { kind: Type.Literal("file"), path: Type.String({ minLength: 1, maxLength: 4096 }) },
  { additionalProperties: false },
);

export type ObjectStoreConfig = Static<typeof FileStoreConfig>;

interface StoreKind {
  readonly schema: TSchema;
  /** Makes paths absolute. */
  readonly resolve: (config: ObjectStoreConfig, dataDir: string) => ObjectStoreConfig;
  readonly open: (config: ObjectStoreConfig, report: Report) => Promise<ObjectStore>;
  readonly check: (config: ObjectStoreConfig, options: StoreCheckOptions) => Promise<StoreCheck>;
}

const KINDS: Readonly<Record<ObjectStoreConfig["kind"], StoreKind>> = {
  file: {
    schema: FileStoreConfig,
    resolve: (config, dataDir) => ({ ...config, path: resolve(dataDir, config.path) }),
    open: ({ path }, report) => FileObjectStore.open(path, { report }),
    check: ({ path }, options) => checkFileStore(path, options),
  },
};

function isKnown(kind: string): kind is ObjectStoreConfig["kind"] {
  return Object.hasOwn(KINDS, kind);
}

/**
 * Checks the settings of an object store.
 * @param dataDir what relative paths start from
 * @throws InvalidInputError for an unknown kind, naming the known ones, or for settings that do not fit the kind
 */
export function parseObjectStoreConfig(config: { readonly kind: string }, dataDir: string): ObjectStoreConfig {
  const { kind } = config;
  if (!isKnown(kind)) {
    throw new InvalidInputError("the configuration names an unknown kind of object store", {
      check: "store.kind",
      expected: Object.keys(KINDS).join(", "),
      received: kind.slice(0, 64),
    });
  }
  const mismatch = firstMismatch(KINDS[kind].schema, config);
  if (mismatch !== undefined) {
    throw new InvalidInputError(`the configuration of the object store is wrong at store${mismatch.path}`, {
      check: `settings of a store of kind ${kind}`,
      expected: mismatch.reason,
    });
  }
  return KINDS[kind].resolve(config as ObjectStoreConfig, dataDir);
}

/**
 * Opens the object store that a configuration describes.
 * @param report is told what is found to be damaged
 * @throws DiskFullError, DiskFailedError
 */
export function openObjectStore(config: ObjectStoreConfig, report: Report = () => undefined): Promise<ObjectStore> {
  return KINDS[config.kind].open(config, report);
}

/**
 * Takes the object store that a configuration describes to check it. Nothing is changed but by `repair`.
 * @throws DiskFullError, DiskFailedError, also when a process uses the store
 */
export function checkObjectStore(config: ObjectStoreConfig, options: StoreCheckOptions): Promise<StoreCheck> {
  return KINDS[config.kind].check(config, options);
}
