/**
 * Object stores by configuration: one entry per kind, each with the settings it needs. A kind that needs large packages
 * is imported when it is opened, so that other stores do not pay for it at every start.
 */
import { resolve } from "node:path";
import type { Static, TSchema } from "@sinclair/typebox";
import * as Type from "@sinclair/typebox/type";
import { InvalidInputError } from "../../core/errors.ts";
import { firstMismatch } from "../../core/wire/schema.ts";
import { readPrivateFile } from "../disk/private-file.ts";
import { checkFileStore, FileObjectStore } from "./file-object-store.ts";
import type { ObjectStore } from "./object-store.ts";
import type { Report } from "./pack/pack-findings.ts";
import { readS3Credentials } from "./s3/s3-credentials.ts";
import type { StoreCheck, StoreCheckOptions } from "./store-check.ts";

const closed = { additionalProperties: false };
const Path = Type.String({ minLength: 1, maxLength: 4096 });
/** Tells the stores on one service apart: part of paths, keys and names there. */
const StoreName = Type.String({ pattern: "^[a-z0-9][a-z0-9-]{0,31}$" });
/** An address without user, password and query: secrets are in files or the environment. */
const ServiceUrl = Type.String({ pattern: "^https?://[^/?#@]+(/[^?#@]*)?$", maxLength: 2048 });

/** Objects in packs on this machine. A relative path is below the daemon's data folder. */
const FileStoreConfig = Type.Object({ kind: Type.Literal("file"), path: Path }, closed);

/** Objects as pinned blocks of an IPFS node (Kubo). */
const IpfsStoreConfig = Type.Object(
  {
    kind: Type.Literal("ipfs"),
    rpcUrl: ServiceUrl,
    name: Type.Optional(StoreName),
    /** A file of mode 0600 with the value of the header `Authorization`. */
    authorizationFile: Type.Optional(Path),
  },
  closed,
);

/** Objects in packs on this machine that other IPFS nodes can get from the daemon. */
const IpfsEmbeddedStoreConfig = Type.Object(
  {
    kind: Type.Literal("ipfs-embedded"),
    path: Path,
    /** Addresses to listen on, as multiaddrs: `/ip4/0.0.0.0/tcp/4001`. */
    listen: Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { minItems: 1, maxItems: 16 }),
    /** Nodes to stay connected to, as multiaddrs that end with `/p2p/<peer id>`. */
    peers: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { maxItems: 64 })),
  },
  closed,
);

/** Objects in packs in a bucket of an S3 service. */
const S3StoreConfig = Type.Object(
  {
    kind: Type.Literal("s3"),
    /** Address of the service without the bucket, for example `https://s3.eu-central-1.amazonaws.com`. */
    endpoint: ServiceUrl,
    bucket: Type.String({ pattern: "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$" }),
    region: Type.Optional(Type.String({ pattern: "^[a-z0-9-]{1,64}$" })),
    name: Type.Optional(StoreName),
    /** A file of mode 0600 in the form of `~/.aws/credentials`. */
    credentialsFile: Type.Optional(Path),
    /** Folder of the index, which the bucket can rebuild. */
    indexPath: Type.Optional(Path),
  },
  closed,
);

interface Configs {
  readonly file: Static<typeof FileStoreConfig>;
  readonly ipfs: Static<typeof IpfsStoreConfig>;
  readonly "ipfs-embedded": Static<typeof IpfsEmbeddedStoreConfig>;
  readonly s3: Static<typeof S3StoreConfig>;
}

export type ObjectStoreConfig = Configs[keyof Configs];

interface StoreKind<Config> {
  readonly schema: TSchema;
  /** Makes paths absolute. */
  readonly resolve: (config: Config, dataDir: string) => Config;
  readonly open: (config: Config, report: Report) => Promise<ObjectStore>;
  /** Absent for stores that a service keeps: the service checks its media, and the scrub reads every object. */
  readonly check?: (config: Config, options: StoreCheckOptions) => Promise<StoreCheck>;
  /** Folders of this machine that grow with the objects. */
  readonly folders: (config: Config) => readonly string[];
}

const KINDS: { readonly [Kind in keyof Configs]: StoreKind<Configs[Kind]> } = {
  file: {
    schema: FileStoreConfig,
    resolve: (config, dataDir) => ({ ...config, path: resolve(dataDir, config.path) }),
    open: ({ path }, report) => FileObjectStore.open(path, { report }),
    check: ({ path }, options) => checkFileStore(path, options),
    folders: ({ path }) => [path],
  },
  ipfs: {
    schema: IpfsStoreConfig,
    resolve: ({ authorizationFile, ...config }, dataDir) =>
      authorizationFile === undefined ? config : { ...config, authorizationFile: resolve(dataDir, authorizationFile) },
    open: async ({ rpcUrl, name = "objects", authorizationFile }) => {
      const { KuboObjectStore } = await import("./ipfs/kubo-object-store.ts");
      const authorization = authorizationFile === undefined ? {} : { authorization: readHeader(authorizationFile) };
      return KuboObjectStore.open({ rpcUrl, name, ...authorization });
    },
    folders: () => [],
  },
  "ipfs-embedded": {
    schema: IpfsEmbeddedStoreConfig,
    resolve: (config, dataDir) => ({ ...config, path: resolve(dataDir, config.path) }),
    open: async ({ path, listen, peers = [] }, report) => {
      const { EmbeddedIpfsObjectStore } = await import("./ipfs/embedded-object-store.ts");
      return EmbeddedIpfsObjectStore.open({ path, listen, peers }, report);
    },
    folders: ({ path }) => [path],
  },
  s3: {
    schema: S3StoreConfig,
    resolve: ({ credentialsFile, indexPath = "s3", ...config }, dataDir) => ({
      ...config,
      indexPath: resolve(dataDir, indexPath),
      ...(credentialsFile === undefined ? {} : { credentialsFile: resolve(dataDir, credentialsFile) }),
    }),
    open: async ({ endpoint, bucket, region = "us-east-1", name = "objects", credentialsFile, indexPath }, report) => {
      const { S3ObjectStore } = await import("./s3/s3-object-store.ts");
      const credentials = readS3Credentials(credentialsFile);
      const settings = { endpoint, bucket, region, name, credentials, indexFolder: indexPath ?? "s3" };
      return S3ObjectStore.open(settings, report);
    },
    folders: ({ indexPath }) => (indexPath === undefined ? [] : [indexPath]),
  },
};

/** Reads the value of a header. The value is in no message: it is a secret. */
function readHeader(file: string): string {
  const value = readPrivateFile(file, { what: "authorization file" }).trim();
  if (/^[\x20-\x7e]+$/.test(value)) return value;
  throw new InvalidInputError(`authorization file ${file} has no value for a header`, {
    check: "authorizationFile",
    expected: "one line of printable ASCII, for example `Bearer …` or `Basic …`",
  });
}

function isKnown(kind: string): kind is keyof Configs {
  return Object.hasOwn(KINDS, kind);
}

/** The entry for a configuration; its functions take the configurations of its own kind. */
function kindOf<Config extends ObjectStoreConfig>(config: Config): StoreKind<Config> {
  return KINDS[config.kind] as unknown as StoreKind<Config>;
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
  const checked = config as ObjectStoreConfig;
  return kindOf(checked).resolve(checked, dataDir);
}

/**
 * Opens the object store that a configuration describes.
 * @param report is told what is found to be damaged
 * @throws DiskFullError, DiskFailedError, StoreServiceError
 */
export function openObjectStore(config: ObjectStoreConfig, report: Report = () => undefined): Promise<ObjectStore> {
  return kindOf(config).open(config, report);
}

/**
 * Takes the object store that a configuration describes to check it. Nothing is changed but by `repair`.
 * @throws DiskFullError, DiskFailedError, also when a process uses the store
 * @throws InvalidInputError for a kind of store whose packs are not on this machine
 */
export async function checkObjectStore(config: ObjectStoreConfig, options: StoreCheckOptions): Promise<StoreCheck> {
  const { check } = kindOf(config);
  if (check !== undefined) return await check(config, options);
  throw new InvalidInputError(`a store of kind ${config.kind} cannot be checked by this command`, {
    check: "store.kind",
    expected: "file",
    received: config.kind,
    hint: "run the provider: its scrub reads every object and reports what is damaged",
  });
}

/** Folders of this machine that grow with the objects: none for a store that is a service. */
export function objectStoreFolders(config: ObjectStoreConfig): readonly string[] {
  return kindOf(config).folders(config);
}
