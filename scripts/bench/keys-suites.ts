/**
 * The OPRF suites side by side: what an element costs a client and a key node, how long one evaluation takes, and how
 * many bytes travel. Beside them stands the standard library for blind RSA, one signer with the whole key.
 */
import { type KeyObject, webcrypto } from "node:crypto";
import { RSABSSA } from "@cloudflare/blindrsa-ts";
import { randomBytes } from "#primitives";
import { p256Suite } from "../../offchain/core/oprf/p256.ts";
import { p256Group } from "../../offchain/core/oprf/p256-group.ts";
import { rsaBlindSuite } from "../../offchain/core/oprf/rsa-blind.ts";
import { MAXIMUM_BATCH } from "../../offchain/core/wire/nbm.ts";
import { dealKey } from "../../test/helpers/oprf-committee.ts";
import { type GeneratedRsaKey, generateRsaKey } from "../../test/helpers/rsa-key.ts";
import { median } from "./data-figures.ts";
import { BenchCommittee } from "./keys-committee.ts";
import type { KeyVerdict } from "./keys-figures.ts";
import { cpuMilliseconds } from "./process-cost.ts";

/** Evaluations of one element, for the percentiles. */
const SINGLE_RUNS = 200;
/** The standard library takes about a second for each. */
const LIBRARY_RUNS = 10;
const INPUT_BYTES = 64;
/** Elements per second of the client's processor time that users rely on. */
const CLIENT_BAR = 900;

/** Processor times; of the nodes, one: they work side by side. */
export interface SuiteFigure {
  readonly suite: string;
  /** How many nodes have to answer, of how many. */
  readonly quorum: string;
  readonly batch: number;
  readonly clientElementsPerSecond: number;
  readonly clientMilliseconds: number;
  readonly nodeMilliseconds: number;
  /** One evaluation of one element: client and node together, without a network. */
  readonly single: { readonly p50: number; readonly p99: number };
  /** Elements and proofs between the client and all nodes asked, as raw bytes. The wire has them in hexadecimal. */
  readonly wireBytes: number;
}

/** The committees that are compared, of five nodes each. RSA has no threshold: all five have to answer. */
export async function suiteCommittees(size: number, threshold: number, rsaKey = generateRsaKey(size)) {
  const rsaMembers = rsaKey.shares.map((keyShare, position) => ({
    index: position + 1,
    keyShare,
    verificationShare: new Uint8Array(),
  }));
  return [
    await BenchCommittee.create(size, threshold),
    new BenchCommittee(p256Suite, dealKey(p256Group, p256Group.randomScalar(), threshold, size), threshold),
    new BenchCommittee(rsaBlindSuite(rsaKey.modulus, size), rsaMembers, size),
  ];
}

/** @param runs of full batches; the figures are their medians */
export async function measureSuite(
  committee: BenchCommittee,
  runs: number,
  { batch = MAXIMUM_BATCH, singles = SINGLE_RUNS }: { readonly batch?: number; readonly singles?: number } = {},
): Promise<SuiteFigure> {
  const { suite, size, threshold } = committee;
  const timed = async (elements: number) => {
    committee.takeTimes();
    await committee.evaluate(Array.from({ length: elements }, () => randomBytes(INPUT_BYTES)));
    return committee.takeTimes();
  };
  // Compiles what the first measurement would otherwise compile.
  await timed(Math.min(batch, 8));
  const batches: Awaited<ReturnType<typeof timed>>[] = [];
  for (let run = 0; run < runs; run += 1) batches.push(await timed(batch));
  const alone: number[] = [];
  for (let run = 0; run < singles; run += 1) {
    const { userMilliseconds, nodeMilliseconds } = await timed(1);
    alone.push(userMilliseconds + nodeMilliseconds);
  }
  return {
    suite: suite.name,
    quorum: `${threshold} of ${size}`,
    batch,
    ...clientFigures(median(batches.map(({ userMilliseconds }) => userMilliseconds)) / batch),
    nodeMilliseconds: median(batches.map(({ nodeMilliseconds }) => nodeMilliseconds)) / batch,
    single: percentiles(alone),
    wireBytes: threshold * (2 * suite.elementBytes + suite.proofBytes / batch),
  };
}

/** `@cloudflare/blindrsa-ts`, RSABSSA-SHA384-PSSZERO-Deterministic, with a key of the same length. */
export async function measureBlindRsaLibrary(key: GeneratedRsaKey, runs = LIBRARY_RUNS): Promise<SuiteFigure> {
  const library = RSABSSA.SHA384.PSSZero.Deterministic();
  const [publicKey, privateKey] = [await importKey(key.publicKey), await importKey(key.privateKey)];
  const samples: { client: number; node: number }[] = [];
  for (let run = 0; run < runs; run += 1) {
    const input = randomBytes(INPUT_BYTES);
    const started = cpuMilliseconds();
    const { blindedMsg, inv } = await library.blind(publicKey, input);
    const blinded = cpuMilliseconds();
    const answer = await library.blindSign(privateKey, blindedMsg);
    const signed = cpuMilliseconds();
    await library.finalize(publicKey, input, answer, inv);
    samples.push({ client: blinded - started + (cpuMilliseconds() - signed), node: signed - blinded });
  }
  return {
    suite: "blindrsa-ts",
    quorum: "1 of 1",
    batch: 1,
    ...clientFigures(median(samples.map(({ client }) => client))),
    nodeMilliseconds: median(samples.map(({ node }) => node)),
    single: percentiles(samples.map(({ client, node }) => client + node)),
    wireBytes: 2 * key.modulus.length,
  };
}

async function importKey(key: KeyObject): Promise<CryptoKey> {
  const isPrivate = key.type === "private";
  const bytes = new Uint8Array(
    isPrivate ? key.export({ format: "der", type: "pkcs8" }) : key.export({ format: "der", type: "spki" }),
  );
  const algorithm = { name: "RSA-PSS", hash: "SHA-384" };
  const imported = await webcrypto.subtle.importKey(isPrivate ? "pkcs8" : "spki", bytes, algorithm, true, [
    isPrivate ? "sign" : "verify",
  ]);
  return imported as CryptoKey;
}

function clientFigures(clientMilliseconds: number) {
  return { clientMilliseconds, clientElementsPerSecond: 1000 / clientMilliseconds };
}

/** By the nearest rank. */
export function percentiles(values: readonly number[]): { p50: number; p99: number } {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => {
    const value = sorted[Math.ceil(share * sorted.length) - 1];
    if (value === undefined) throw new RangeError("there is no percentile of nothing");
    return value;
  };
  return { p50: at(0.5), p99: at(0.99) };
}

/** Users rely on it, as on `KEY_BARS`. */
export function judgeSuites(figures: readonly SuiteFigure[]): KeyVerdict[] {
  const measured = figures.find(({ suite, batch }) => suite === "ristretto255-SHA512" && batch === MAXIMUM_BATCH);
  const rate = measured?.clientElementsPerSecond;
  return [
    {
      name: `ristretto255-SHA512, batches of ${MAXIMUM_BATCH}, verified elements per second of the client's processor`,
      bound: "at least",
      limit: CLIENT_BAR,
      unit: "/s",
      ...(rate === undefined ? {} : { measured: rate }),
      met: rate !== undefined && rate >= CLIENT_BAR,
    },
  ];
}
