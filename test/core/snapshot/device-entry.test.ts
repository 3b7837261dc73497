import { expect } from "chai";
import { hpkeKeyPairFromSeed, hpkeOpen, hpkeSeal } from "../../../offchain/core/crypto/hpke.ts";
import { checksumAddress } from "../../../offchain/core/encoding/address.ts";
import { decodeCbor } from "../../../offchain/core/encoding/cbor.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import {
  decodeEntry,
  encodeEntry,
  entryTypedData,
  FIRST_FOLLOWS,
  follows,
  MAX_ENTRY_BYTES,
  MIN_ENTRY_BYTES,
  nextPlace,
  openEntry,
  sealEntry,
} from "../../../offchain/core/snapshot/device-entry.ts";
import { MAX_RECORD_BYTES, RECORD_DEPTH, snapshotFromCbor } from "../../../offchain/core/snapshot/snapshot.ts";
import { decodeEntries, encodeEntries } from "../../../offchain/core/wire/device-snapshots.ts";
import { expectAsyncRejection, expectRejection } from "../../helpers/rejection.ts";
import { snapshotOf } from "../../helpers/snapshots.ts";
import vectors from "../../vectors/delegates.json" with { type: "json" };

const OWNER = hpkeKeyPairFromSeed(new Uint8Array(32).fill(9));
const { chainId, directory, account, key, provider, entry: vector } = vectors;
const SCOPE = { chainId: BigInt(chainId), directory, account, key, provider };
const PLACE = { position: vector.position, time: vector.time, previous: fromHex(vector.previous) };
const SNAPSHOT = snapshotFromCbor(decodeCbor(fromHex(vector.record), MAX_RECORD_BYTES, RECORD_DEPTH, "x"));

describe("snapshots that a device leaves", () => {
  it("have the layout of the vectors", () => {
    expect(SNAPSHOT.device).to.equal(checksumAddress(fromHex(key)));
    const signature = fromHex(vector.signature);
    expect(toHex(encodeEntry(PLACE, signature, fromHex(vector.sealed)))).to.equal(vector.bytes);
    const { digest, sealed, signature: text, ...place } = decodeEntry(fromHex(vector.bytes));
    expect(place).to.deep.equal(PLACE);
    expect([toHex(digest), toHex(sealed), text]).to.deep.equal([vector.digest, vector.sealed, vector.signature]);
  });

  it("are sealed to the account, with the scope and place of the vectors, and opened by it alone", async () => {
    const sealed = await sealEntry(OWNER.publicKey, SCOPE, PLACE, SNAPSHOT);
    const opened = await hpkeOpen(OWNER.privateKey, fromHex(vector.info), fromHex(vector.aad), sealed);
    expect(toHex(opened)).to.equal(vector.record);
    expect(await openEntry(OWNER.privateKey, SCOPE, { ...PLACE, sealed })).to.deep.equal(SNAPSHOT);
    const other = hpkeKeyPairFromSeed(new Uint8Array(32).fill(8)).privateKey;
    await expectAsyncRejection(() => openEntry(other, SCOPE, { ...PLACE, sealed }), "INTEGRITY");
    for (const changed of [{ chainId: 1n }, { account: provider }, { provider: account }, { directory: account }]) {
      const elsewhere = () => openEntry(OWNER.privateKey, { ...SCOPE, ...changed }, { ...PLACE, sealed });
      await expectAsyncRejection(elsewhere, "INTEGRITY");
    }
    for (const changed of [{ position: 8 }, { time: 1 }, { previous: new Uint8Array(32) }]) {
      const moved = () => openEntry(OWNER.privateKey, SCOPE, { ...PLACE, ...changed, sealed });
      await expectAsyncRejection(moved, "INTEGRITY");
    }
  });

  it("are refused when they are no record, or name another device or none", async () => {
    const made = async (record: Uint8Array) => ({
      ...PLACE,
      sealed: await hpkeSeal(OWNER.publicKey, fromHex(vector.info), fromHex(vector.aad), record),
    });
    const open = async (record: Uint8Array) => {
      const entry = await made(record);
      return () => openEntry(OWNER.privateKey, SCOPE, entry);
    };
    const record = fromHex(vector.record);
    await expectAsyncRejection(await open(record.subarray(0, -3)), "INVALID_INPUT");
    await expectAsyncRejection(await open(new Uint8Array(MAX_RECORD_BYTES + 1)), "INVALID_INPUT");
    const foreign = record.slice();
    foreign[record.length - 1] = (foreign.at(-1) ?? 0) ^ 1;
    await expectAsyncRejection(await open(foreign), "INTEGRITY", /another device/);
    for (const snapshot of [snapshotOf(1), snapshotOf(1, { device: account })]) {
      await expectAsyncRejection(() => sealEntry(OWNER.publicKey, SCOPE, PLACE, snapshot), "INTEGRITY");
    }
  });

  it("are refused in another version, too short, too large, or with numbers out of range", () => {
    const bytes = fromHex(vector.bytes);
    const changed = (at: number, ...values: number[]) => {
      const copy = bytes.slice();
      copy.set(values, at);
      return () => decodeEntry(copy);
    };
    expectRejection(changed(0, 2), "UNKNOWN_VERSION");
    expectRejection(() => decodeEntry(bytes.subarray(0, MIN_ENTRY_BYTES)), "INVALID_INPUT", /length/);
    expectRejection(() => decodeEntry(new Uint8Array(MAX_ENTRY_BYTES + 1).fill(1)), "INVALID_INPUT", /length/);
    expectRejection(() => decodeEntry(new Uint8Array(0)), "INVALID_INPUT", /length/);
    expectRejection(changed(1, 0, 0, 0, 0, 0, 0, 0, 0), "INVALID_INPUT", /position/);
    expectRejection(changed(1, 255), "INVALID_INPUT", /position/);
    expectRejection(changed(9, 255), "INVALID_INPUT", /time/);
  });

  it("follow one another by position and digest", () => {
    const entry = decodeEntry(fromHex(vector.bytes));
    const next = nextPlace(entry, 5);
    expect(next).to.deep.equal({ position: 8, time: 5, previous: entry.digest });
    expect(follows(next, entry)).to.equal(true);
    expect(follows({ ...next, position: 9 }, entry)).to.equal(false);
    expect(follows({ ...next, previous: PLACE.previous }, entry)).to.equal(false);
    expect(follows(nextPlace(undefined, 5), FIRST_FOLLOWS)).to.equal(true);
    const { message, domain } = entryTypedData(SCOPE, PLACE, entry.sealed);
    expect(message).to.include({ account, key, provider, position: 7n, previous: vector.previous });
    expect(domain).to.include({ chainId: 31337n, verifyingContract: directory });
  });

  it("pass in one body, which may be neither cut off nor hold one that is too long", () => {
    const entries = [fromHex(vector.bytes), new Uint8Array(7)];
    const body = encodeEntries(entries);
    expect(decodeEntries(body)).to.deep.equal(entries);
    expect(decodeEntries(new Uint8Array(0))).to.deep.equal([]);
    for (const cut of [1, 3, body.length - 1]) {
      expectRejection(() => decodeEntries(body.subarray(0, cut)), "INVALID_INPUT", /cut off/);
    }
    const long = encodeEntries([new Uint8Array(MAX_ENTRY_BYTES + 1)]);
    expectRejection(() => decodeEntries(long), "INVALID_INPUT", /too long/);
  });
});
