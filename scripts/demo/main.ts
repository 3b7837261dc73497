/**
 * `npm run demo`: the main job, end to end, with real processes and a real chain on this machine.
 *
 *   npm run demo                     on generated sample folders of two people
 *   npm run demo -- <your folder>    on your own files; they are only read
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { type OpenedDataSet, scheduleOf } from "../../offchain/chain/data-set-words.ts";
import { connectChain } from "../../offchain/chain/deployment.ts";
import { readBooks, readEscrowClock, readSchedule } from "../../offchain/chain/escrow.ts";
import { readOpened, scanDataSets } from "../../offchain/chain/escrow-events.ts";
import { formatBytes } from "../../offchain/cli/output.ts";
import { tableLines } from "../../offchain/cli/table.ts";
import { epochOf, windowsOf } from "../../offchain/core/data-set/epochs.ts";
import { lastLevel } from "../../offchain/core/data-set/schedule.ts";
import { formatEther } from "../../offchain/core/encoding/amounts.ts";
import { type Devnet, startDevnet } from "../devnet/start-devnet.ts";
import { writeSampleFolders } from "./sample-files.ts";
import { damageObjects, differences, Person, requireFolder, Teller, until } from "./story.ts";

/**
 * A block comes every second, however long a machine takes for a folder, so an epoch is long enough for the slowest:
 * ten minutes. The demo does not wait for epochs, because it mines empty blocks at once.
 */
const EPOCH_BLOCKS = 600;
const WINDOW_BLOCKS = 120;
const RUNWAY_EPOCHS = 50;

interface PutDocument {
  readonly dataId: string;
  readonly entries: number;
  readonly totalBytes: number;
  readonly storedBytes: number;
  readonly uploadedBytes: number;
  readonly objects: number;
  readonly uploadedObjects: number;
  readonly seconds: number;
  readonly record: { readonly role: string };
  readonly dataSets: readonly { readonly id: string; readonly slices: number }[];
}

async function main(directory: string): Promise<void> {
  const started = Date.now();
  const teller = new Teller();
  const figures: [string, string][] = [];

  teller.heading("Two people have files");
  const own = process.argv[2];
  if (own !== undefined) requireFolder(own);
  const folders =
    own === undefined ? await writeSampleFolders(join(directory, "disks")) : { alice: resolve(own), bob: resolve(own) };
  teller.line(
    own === undefined
      ? "sample folders with copies, hand-outs both have, and an edited large file"
      : `both have ${folders.alice}`,
  );

  teller.heading("A network starts: a chain, five key nodes, a storage provider, each a process of its own");
  const devnet = await startDevnet({
    dir: join(directory, "net"),
    epochBlocks: EPOCH_BLOCKS,
    windowBlocks: WINDOW_BLOCKS,
    say: (line) => teller.line(line),
  });
  try {
    await tell(directory, teller, folders, devnet, figures);
  } finally {
    await devnet.stop();
  }
  figures.push(["time of the whole run", `${((Date.now() - started) / 1000).toFixed(0)} s`]);
  process.stdout.write(`\n${tableLines(["FIGURE", "VALUE"], figures).join("\n")}\n\nAll steps succeeded.\n`);
}

async function tell(
  directory: string,
  teller: Teller,
  folders: { readonly alice: string; readonly bob: string },
  devnet: Devnet,
  figures: [string, string][],
): Promise<void> {
  const { deploymentFile } = devnet;
  const person = (name: string, home: string, extra: Record<string, string> = {}) =>
    new Person(
      name,
      { home: join(directory, home), deploymentFile, passphrase: `${name}'s passphrase`, extra },
      teller,
    );

  teller.heading("Each makes an identity; the recovery phrase is shown once");
  const alice = person("alice", "alice-laptop");
  const bob = person("bob", "bob-laptop");
  const { recoveryPhrase, account } = await alice.run("init");
  await bob.run("init");
  teller.line(`alice is ${String(account)} and writes down ${String(recoveryPhrase).split(" ").length} words`);

  teller.heading(
    "Both store their files, encrypted, equal content once, each in a data set that the provider is paid for per epoch",
  );
  const first = (await alice.run("put", folders.alice, "--runway", String(RUNWAY_EPOCHS))) as unknown as PutDocument;
  tellPut(teller, first);
  const second = (await bob.run("put", folders.bob, "--runway", String(RUNWAY_EPOCHS))) as unknown as PutDocument;
  tellPut(teller, second);
  const [total, sent] = [first.totalBytes + second.totalBytes, first.uploadedBytes + second.uploadedBytes];
  figures.push(
    ["files of both", `${formatBytes(total)} in ${first.entries + second.entries} entries`],
    [
      "stored by the provider",
      `${formatBytes(sent)}: ${total === 0 ? 0 : Math.round((1 - sent / total) * 100)} % saved by deduplication`,
    ],
    ["speed of alice's put, tags included", `${formatBytes(first.totalBytes / first.seconds)}/s`],
  );

  const chain = await connectChain(devnet.deployment);
  try {
    const set = await required(readOpened(chain, first.dataSets[0]?.id ?? ""));
    await loseNodesAndLaptop(directory, teller, devnet, person, String(recoveryPhrase), first, folders.alice, figures);
    await addAFile(directory, teller, alice, figures);
    await payAnEpoch(teller, devnet, chain, set, figures);
    await damageAndCompensate(teller, devnet, chain, set, alice, figures);
  } finally {
    chain.close();
  }
}

function tellPut(teller: Teller, put: PutDocument): void {
  teller.line(
    `${put.entries} entries, ${formatBytes(put.totalBytes)}; sent ${formatBytes(put.uploadedBytes)} in ` +
      `${put.uploadedObjects} of ${put.objects} objects; ${put.seconds.toFixed(1)} s`,
  );
  teller.line(
    `data id ${put.dataId}, data set ${put.dataSets[0]?.id.slice(0, 10)} of ${put.dataSets[0]?.slices} slices`,
  );
}

async function loseNodesAndLaptop(
  directory: string,
  teller: Teller,
  devnet: Devnet,
  person: (name: string, home: string, extra: Record<string, string>) => Person,
  phrase: string,
  put: PutDocument,
  original: string,
  figures: [string, string][],
): Promise<void> {
  teller.heading("Two key nodes are killed, and alice loses her laptop");
  await Promise.all(devnet.nodes.slice(0, 2).map((node) => node.process.stop("SIGKILL")));
  teller.line("killed node-1 and node-2 (kill -9)");
  const phone = person("alice", "alice-new-device", { TALLYSTICK_RECOVERY_PHRASE: phrase });
  const { recovered } = (await phone.run("recover")) as { recovered: { dataId: string }[] };
  if (!recovered.some(({ dataId }) => dataId === put.dataId))
    throw new Error("recover did not find the data on the ledger");
  const out = join(directory, "restored");
  const restored = (await phone.run("get", put.dataId, "-o", out)) as { seconds: number; totalBytes: number };
  const different = differences(original, join(out, basename(original)));
  if (different.length > 0) throw new Error(`restored files differ: ${different.join(", ")}`);
  teller.line(`all ${put.entries} entries are back: bytes, names, permissions, times and links are identical`);
  figures.push(
    ["restored on a new device, 2 of 5 nodes killed", "byte-identical"],
    ["speed of the restore", `${formatBytes(restored.totalBytes / restored.seconds)}/s`],
  );
}

type Chain = Awaited<ReturnType<typeof connectChain>>;

async function required<Value>(reading: Promise<Value | undefined>): Promise<Value> {
  const value = await reading;
  if (value === undefined) throw new Error("the data set is not on chain");
  return value;
}

/** Mines the blocks up to `block` at once, so that nobody has to wait for empty blocks. */
async function skipTo(devnet: Devnet, chain: Chain, block: number): Promise<void> {
  const missing = block - (await chain.provider.getBlockNumber());
  if (missing > 0) await devnet.chain.mine(missing);
}

/** The windows of the first epoch that has not begun yet. */
async function nextWindows(chain: Chain, { audit }: OpenedDataSet) {
  const { epochBlocks } = await readEscrowClock(chain);
  const epoch = epochOf(epochBlocks, await chain.provider.getBlockNumber()) + 1;
  return windowsOf({ ...audit, epochBlocks }, epoch);
}

async function feeNow(chain: Chain, { id }: OpenedDataSet): Promise<{ fee: bigint; sliceCount: number }> {
  return lastLevel(scheduleOf(await required(readSchedule(chain, id, undefined))));
}

/** What was stored before is neither read, nor tagged, nor paid for again. */
async function addAFile(directory: string, teller: Teller, alice: Person, figures: [string, string][]): Promise<void> {
  teller.heading("Alice stores one more file: only what is new is tagged, and she sends no transaction about it");
  const file = join(directory, "one-more.txt");
  writeFileSync(file, "A line that was not there yesterday.\n");
  const put = (await alice.run("put", file)) as unknown as PutDocument & {
    readonly dataSets: readonly {
      readonly addedSlices: number;
      readonly deposited: string;
      readonly sentBytes: number;
    }[];
  };
  const [set] = put.dataSets;
  if (set?.deposited !== "0") throw new Error("the put of a small file topped up the balance");
  teller.line(`${set.addedSlices} of ${set.slices} slices are new; ${formatBytes(set.sentBytes)} of audit data sent`);
  figures.push(["audit data of one more small file", formatBytes(set.sentBytes)]);
}

async function payAnEpoch(
  teller: Teller,
  devnet: Devnet,
  chain: Chain,
  set: OpenedDataSet,
  figures: [string, string][],
): Promise<void> {
  teller.heading("An epoch begins: the chain draws slices, the provider proves that it has them, the fee is paid");
  const { id, audit } = set;
  const provenOf = async () => (await required(readBooks(chain, id))).proven;
  const before = await provenOf();
  await skipTo(devnet, chain, (await nextWindows(chain, set)).challengeBlock);
  await until("the provider's proof", WINDOW_BLOCKS, async () => (await provenOf()) > before);
  const { sliceCount } = await feeNow(chain, set);
  for await (const event of scanDataSets(chain, 0, await chain.provider.getBlockNumber())) {
    if (event.kind !== "EpochProven" || event.id !== id) continue;
    const receipt = await chain.provider.getTransactionReceipt(event.transactionHash);
    const draws = `${audit.sampleCount} draws from ${sliceCount} slices`;
    teller.line(
      `epoch ${event.epoch} proven in block ${event.blockNumber}: ${draws}, ` +
        `fee ${formatEther(event.fee)} to the provider`,
    );
    figures.push([
      "gas of a proof on chain, whole transaction",
      `${receipt?.gasUsed.toLocaleString("en")} for ${draws}, and what else was proven in it`,
    ]);
    figures.push(["fee of a proven epoch, to the provider", formatEther(event.fee)]);
    return;
  }
  throw new Error("no proof was found on chain");
}

async function damageAndCompensate(
  teller: Teller,
  devnet: Devnet,
  chain: Chain,
  set: OpenedDataSet,
  alice: Person,
  figures: [string, string][],
): Promise<void> {
  teller.heading("Some data on the provider's disk is damaged");
  const { id } = set;
  await alice.run("audit", id);
  teller.line("alice audits: intact");
  const { damaged, objects } = damageObjects(join(devnet.provider.dir, "data", "store"));
  teller.line(`one byte flipped in each of ${damaged} of ${objects} stored objects`);
  const audit = await alice.attempt("audit", id);
  if (audit.exitCode === 0) throw new Error("the audit did not detect the damage");
  teller.line(`alice audits again: damaged (exit code ${audit.exitCode})`);

  teller.heading("The next epoch passes without a proof, and the collateral compensates alice");
  const { graceEnd } = await nextWindows(chain, set);
  await skipTo(devnet, chain, graceEnd + 1);
  const from = await chain.provider.getBlockNumber();
  await alice.run("data-set", "settle", id);
  for await (const event of scanDataSets(chain, from, await chain.provider.getBlockNumber())) {
    if (event.kind !== "EpochMissed" || event.id !== id) continue;
    teller.line(
      `epoch ${event.epoch} was missed: fee ${formatEther(event.fee)} back, ` +
        `${formatEther(event.compensation)} compensation, ${formatEther(event.bounty)} bounty for the report`,
    );
    const withdrawn = (await alice.run("data-set", "withdraw")) as { readonly amount: string };
    teller.line(`alice withdraws what her notice period does not need: ${formatEther(BigInt(withdrawn.amount))}`);
    figures.push([
      "credited to alice for a missed one",
      `${formatEther(event.fee + event.compensation + event.bounty)}, of it ` +
        `${formatEther(event.compensation + event.bounty)} from the provider's collateral`,
    ]);
    return;
  }
  throw new Error("no miss was reported");
}

const directory = mkdtempSync(join(tmpdir(), "tallystick-demo-"));
// Also after Ctrl-C: sample files and databases are hundreds of megabytes.
process.on("exit", () => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
try {
  mkdirSync(join(directory, "net"));
  await main(directory);
} catch (error) {
  mkdirSync(".tallystick", { recursive: true });
  const log = resolve(".tallystick", "demo-failure.log");
  writeFileSync(log, `${error instanceof Error ? error.stack : String(error)}\n`);
  process.stderr.write(
    `\ndemo: error: ${error instanceof Error ? error.message : String(error)}\ndemo: hint: details are in ${log}\n`,
  );
  process.exitCode = 1;
}
