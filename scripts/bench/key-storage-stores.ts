/**
 * What keys take in stores beside the ledger: in the provider's index and its objects, in a user's catalogue, and at a
 * key server as Dekey describes it, which is built here for comparison only.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gcmsiv } from "@noble/ciphers/aes.js";
import { SqliteCatalogue } from "../../offchain/agent/node/catalogue.ts";
import { CHUNK_OVERHEAD_BYTES } from "../../offchain/core/crypto/encryption.ts";
import { type SharingParameters, splitSecret } from "../../offchain/core/crypto/ramp-sharing.ts";
import { checksumAddress } from "../../offchain/core/encoding/address.ts";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { storedFrame } from "../../offchain/core/recipe/frame.ts";
import { ListingEncoder } from "../../offchain/core/recipe/listing.ts";
import type { ChunkRef } from "../../offchain/core/recipe/recipe.ts";
import { sealRoot, writeContent } from "../../offchain/core/recipe/tree.ts";
import { OwnershipChallenges } from "../../offchain/csp/chunks/ownership-challenges.ts";
import { PROVIDER_MIGRATIONS } from "../../offchain/csp/tables.ts";
import { openSqliteDatabase } from "../../offchain/store/index/sql/open-sqlite.ts";
import { SqlProviderIndex } from "../../offchain/store/index/sql/provider-index.ts";
import type { ProviderTables } from "../../offchain/store/index/sql/provider-tables.ts";
import { type Database, openDatabase } from "../../offchain/store/index/sqlite.ts";
import { pseudoRandomBytes } from "../../test/helpers/pseudo-random.ts";
import { databaseGrowth } from "./database-growth.ts";

const CHUNK_BYTES = 1024 * 1024;
const ADDRESS_BYTES = 20;
const NONCE_BYTES = 12;
/** Owners that an object of the provider gets, of which the bytes of one are an average. */
const MEASURED_OWNERS = 8;
const CATALOGUED_PUTS = 500;
/** Each claimed object is a transaction. */
const MEASURED_OBJECTS = 500;
const NOW = 1_790_000_000;

const bytesOf = (name: string, length = 32): Uint8Array => pseudoRandomBytes(`key-storage ${name}`, length);
const accountOf = (index: number): string => checksumAddress(bytesOf(`account ${index}`, ADDRESS_BYTES));

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "tallystick-bench-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A chunk key under a user's own key: AES-256-GCM-SIV; the nonce is the position, which is not stored. */
export function wrapChunkKey(ownKey: Uint8Array, position: number, chunkKey: Uint8Array): Uint8Array {
  const nonce = new Uint8Array(NONCE_BYTES);
  new DataView(nonce.buffer).setUint32(0, position);
  return gcmsiv(ownKey, nonce).encrypt(chunkKey);
}

export interface RecipeCost {
  readonly objects: number;
  readonly bytes: number;
}

/** What a put of one file stores beside its chunks: sealed lists, the sealed listing and the sealed root. */
export async function measureRecipe(chunks: number): Promise<RecipeCost> {
  const sizes: number[] = [];
  const refs = Array.from(
    { length: chunks },
    (_, index): ChunkRef => ({
      id: contentId(bytesOf(`chunk ${index}`)),
      key: bytesOf(`chunk key ${index}`),
      sizeBytes: CHUNK_BYTES,
      sealedBytes: CHUNK_BYTES + 1 + CHUNK_OVERHEAD_BYTES,
    }),
  );
  const fileKey = bytesOf("file key of the recipe");
  const content = await writeContent(
    refs,
    async () => fileKey,
    async ({ sealed }) => {
      sizes.push(sealed.length);
    },
  );
  const encoder = new ListingEncoder();
  const listing = encoder.push({ type: "file", path: "file", sizeBytes: chunks * CHUNK_BYTES, content });
  const sealedListingBytes = storedFrame(listing).length + CHUNK_OVERHEAD_BYTES;
  sizes.push(sealedListingBytes);
  const { sealed } = sealRoot(fileKey, {
    version: 1,
    domain: "public",
    keyMode: "oprf",
    ...encoder.totals,
    listingBytes: listing.length,
    listing: {
      chunks: [
        {
          id: contentId(listing),
          key: bytesOf("listing key"),
          sizeBytes: listing.length,
          sealedBytes: sealedListingBytes,
        },
      ],
    },
  });
  sizes.push(sealed.length);
  return { objects: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

export interface ProviderRows {
  /** An object with its first owner, as an upload leaves it. */
  readonly objectBytes: number;
  /** Once, when a second owner claims it: more ownership challenges are prepared. */
  readonly claimedBytes: number;
  /** Each later owner. */
  readonly ownerBytes: number;
}

/** Growth of a provider's index, on SQLite. */
export function measureProviderRows(): Promise<ProviderRows> {
  return inFolder(async (folder) => {
    let handle: Database | undefined;
    const migrations = PROVIDER_MIGRATIONS;
    const database = await openSqliteDatabase<ProviderTables>(join(folder, "index.db"), migrations, (opened) => {
      handle = opened;
    });
    try {
      if (handle === undefined) throw new Error("the database was not opened");
      const index = await SqlProviderIndex.open(database);
      const challenges = new OwnershipChallenges(accountOf(0), bytesOf("operator secret"));
      const objects = Array.from({ length: MEASURED_OBJECTS }, (_, k) => {
        const bytes = bytesOf(`object ${k}`, 512);
        return { bytes, digest: bytesOf(`digest ${k}`) };
      });
      const digests = objects.map(({ digest }) => digest);
      const [recorded = 0, claimed = 0, owned = 0] = await databaseGrowth(handle, [
        async () => {
          const rows = objects.map(({ digest, bytes }) => ({
            digest,
            sizeBytes: bytes.length,
            challenges: challenges.prepareFew(digest, bytes),
          }));
          await index.chunks.record(accountOf(1), rows, NOW);
        },
        async () => {
          for (const { digest, bytes } of objects) {
            await index.chunks.setChallenges(digest, challenges.prepare(digest, bytes));
          }
        },
        async () => {
          for (let owner = 0; owner < MEASURED_OWNERS; owner += 1) {
            const added = await index.chunks.addOwner(accountOf(2 + owner), digests, NOW);
            if (added.includes(false)) throw new Error("the index did not add an owner");
          }
        },
      ]);
      return {
        objectBytes: recorded / MEASURED_OBJECTS,
        claimedBytes: claimed / MEASURED_OBJECTS,
        ownerBytes: owned / (MEASURED_OBJECTS * MEASURED_OWNERS),
      };
    } finally {
      await database.close();
    }
  });
}

/** Growth of a user's catalogue by one put. The catalogue is a cache. */
export function measureCatalogue(): Promise<number> {
  return inFolder(async (folder) => {
    const file = join(folder, "agent.db");
    await new SqliteCatalogue(file).close();
    const before = statSync(file).size;
    const catalogue = new SqliteCatalogue(file);
    for (let put = 0; put < CATALOGUED_PUTS; put += 1) {
      await catalogue.savePut({
        dataId: contentId(bytesOf(`put ${put}`)),
        name: `file ${put}`,
        entryCount: 1,
        totalBytes: CHUNK_BYTES,
        domain: "public",
        recordId: `0x${Buffer.from(bytesOf(`record ${put}`)).toString("hex")}`,
        role: "owner",
        storedAt: NOW,
      });
    }
    // The last connection moves the log into the file.
    await catalogue.close();
    return (statSync(file).size - before) / CATALOGUED_PUTS;
  });
}

export interface KeyServerRows {
  /** One share with the tag of its chunk, at one server. */
  readonly shareBytes: number;
  /** One owner of a file, at one server. */
  readonly ownerBytes: number;
}

/**
 * A key server of Dekey keeps one share per distinct chunk key, and who has proved to own a file. Its tables are ours:
 * the paper names none.
 */
export function measureKeyServer(sharing: SharingParameters, rows: number): Promise<KeyServerRows> {
  return inFolder(async (folder) => {
    const database = openDatabase(join(folder, "server.db"), {
      migrations: [
        `CREATE TABLE shares (chunk_tag BLOB NOT NULL PRIMARY KEY, share BLOB NOT NULL) STRICT, WITHOUT ROWID;
         CREATE TABLE owners (file_tag BLOB NOT NULL, owner BLOB NOT NULL, PRIMARY KEY (file_tag, owner))
           STRICT, WITHOUT ROWID;`,
      ],
    });
    try {
      const addShare = database.prepare("INSERT INTO shares VALUES (?, ?)");
      const addOwner = database.prepare("INSERT INTO owners VALUES (?, ?)");
      const [shares = 0, owners = 0] = await databaseGrowth(database, [
        () =>
          database.transaction(() => {
            for (let key = 0; key < rows; key += 1) {
              const [share] = splitSecret(bytesOf(`chunk key ${key}`), sharing, { context: new Uint8Array() });
              if (share === undefined) throw new Error("no share was made");
              addShare.run(bytesOf(`chunk tag ${key}`), share);
            }
          }),
        () =>
          database.transaction(() => {
            for (let owner = 0; owner < rows; owner += 1) {
              addOwner.run(bytesOf(`file tag ${owner % (rows / 10)}`), bytesOf(`owner ${owner}`, ADDRESS_BYTES));
            }
          }),
      ]);
      return { shareBytes: shares / rows, ownerBytes: owners / rows };
    } finally {
      database.close();
    }
  });
}
