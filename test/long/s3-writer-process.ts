/** Puts, removes and compacts, and says on stdout which puts were acknowledged, until it is killed. */
import { writeSync } from "node:fs";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { S3ObjectStore, type S3StoreSettings } from "../../offchain/store/object/s3/s3-object-store.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";

const settings = JSON.parse(process.env.WRITER ?? "") as S3StoreSettings & { round: number };
const store = await S3ObjectStore.open(settings);
writeSync(1, "ready\n");

async function write(worker: number): Promise<never> {
  for (let n = 0; ; n++) {
    const seed = `${settings.round}-${worker}-${n}`;
    const sizeBytes = (n * 7919) % 60_000;
    const bytes = pseudoRandomBytes(seed, sizeBytes);
    const id = contentId(bytes);
    await store.put(id, bytes);
    // What is removed is not told, so that packs have something to give back.
    if (n % 3 === 2) await store.delete(id);
    else writeSync(1, `${id} ${seed} ${sizeBytes}\n`);
    if (worker === 0) await store.compact();
  }
}

await Promise.all([0, 1, 2, 3].map(write));
