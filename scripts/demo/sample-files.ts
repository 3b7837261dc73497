/**
 * The folders of the demonstration: files that look like those of a small office, generated from a seed so that every
 * run stores the same bytes. They repeat themselves the way real folders do: copies within one user's folder, the same
 * hand-outs with two users, and a large file that was edited in a few places.
 */
import { createHash } from "node:crypto";
import { chmod, mkdir, symlink, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { aesCtrStream } from "./keystream.ts";

const MIB = 1024 * 1024;
const WORDS = (
  "ledger invoice harbour quarter payment storage copper meadow delivery contract audit " +
  "summary window engine supplier balance review autumn signal carrier estimate"
).split(" ");

interface Sample {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly mode?: number;
}

function numbers(seed: string): () => number {
  const stream = aesCtrStream(seed, 64 * 1024);
  let offset = 0;
  return () => {
    offset = (offset + 4) % (stream.length - 4);
    return stream.readUInt32BE(offset);
  };
}

function text(seed: string, paragraphs: number): Uint8Array {
  const next = numbers(seed);
  const word = () => WORDS[next() % WORDS.length] ?? "";
  const sentence = () => {
    const words = Array.from({ length: 6 + (next() % 9) }, word).join(" ");
    return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
  };
  const lines = Array.from({ length: paragraphs }, () => Array.from({ length: 4 }, sentence).join(" "));
  return Buffer.from(`# ${word()} ${word()}\n\n${lines.join("\n\n")}\n`);
}

function table(seed: string, rows: number): Uint8Array {
  const next = numbers(seed);
  const lines = Array.from({ length: rows }, (_, row) => {
    const day = String(1 + (next() % 28)).padStart(2, "0");
    return `${row + 1},2026-0${1 + (next() % 9)}-${day},${WORDS[next() % WORDS.length]},${(next() % 1_000_000) / 100}`;
  });
  return Buffer.from(`id,date,item,amount\n${lines.join("\n")}\n`);
}

/** A header and noise, as in a compressed picture. */
function picture(seed: string, sizeBytes: number): Uint8Array {
  const header = Buffer.from("ffd8ffe000104a46494600010100000100010000", "hex");
  return Buffer.concat([header, aesCtrStream(seed, sizeBytes - header.length)]);
}

function edited(bytes: Uint8Array, places: number): Uint8Array {
  const copy = Buffer.from(bytes);
  for (let place = 1; place <= places; place += 1) {
    const offset = Math.floor((copy.length * place) / (places + 1));
    copy.writeUInt8((copy.readUInt8(offset) + 1) % 256, offset);
  }
  return copy;
}

async function writeSamples(directory: string, samples: readonly Sample[]): Promise<void> {
  for (const sample of samples) {
    const path = join(directory, sample.path);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, sample.bytes);
    if (sample.mode !== undefined) await chmod(path, sample.mode);
    const digest = createHash("sha256").update(sample.path).digest();
    const seconds = 1_750_000_000 + (digest.readUInt32BE(0) % 40_000_000);
    await utimes(path, seconds, seconds);
  }
}

/** The folders of the two people of the demonstration. */
export interface SampleFolders {
  readonly alice: string;
  readonly bob: string;
}

/** Writes both folders below `directory`. @returns their paths */
export async function writeSampleFolders(directory: string): Promise<SampleFolders> {
  const survey = picture("survey", 24 * MIB);
  const handbook = text("handbook", 900);
  const film = picture("film", 10 * MIB);
  const shared: Sample[] = [
    { path: "handouts/handbook.md", bytes: handbook },
    { path: "handouts/film.mp4", bytes: film },
    { path: "handouts/prices.csv", bytes: table("prices", 20_000) },
  ];
  const alice = join(directory, "alice");
  const bob = join(directory, "bob");
  await writeSamples(alice, [
    ...shared,
    { path: "survey/2026-scan.tif", bytes: survey },
    { path: "survey/2026-scan (corrected).tif", bytes: edited(survey, 5) },
    { path: "copies/handbook (1).md", bytes: handbook },
    { path: "copies/film backup.mp4", bytes: film },
    { path: "books/Übersicht – März.csv", bytes: table("books", 40_000) },
    { path: "notes/会議.txt", bytes: text("meeting", 30) },
    { path: "notes/empty.txt", bytes: new Uint8Array(0) },
    { path: "bin/backup.sh", bytes: Buffer.from("#!/bin/sh\nexec tallystick put ~/alice\n"), mode: 0o755 },
    ...Array.from({ length: 40 }, (_, index): Sample => {
      return { path: `letters/${String(index + 1).padStart(3, "0")}.txt`, bytes: text(`letter ${index}`, 6) };
    }),
  ]);
  await symlink("../survey/2026-scan.tif", join(alice, "notes", "latest-scan"));
  await writeSamples(bob, [
    ...shared,
    { path: "photos/harbour.jpg", bytes: picture("harbour", 4 * MIB) },
    { path: "photos/meadow.jpg", bytes: picture("meadow", 3 * MIB) },
    { path: "from-alice/2026-scan.tif", bytes: survey },
  ]);
  return { alice, bob };
}
