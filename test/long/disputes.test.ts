/** A data set on demand from put to verdict, with the command line, real nodes and a real provider. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { EXIT } from "../../offchain/cli/exit-codes.ts";
import { startTallystick, tallystick } from "../../scripts/demo/command.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { damageObjects } from "../helpers/pack-files.ts";
import { newPerson, type Person } from "../helpers/people.ts";
import { until } from "../helpers/promises.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";

const EPOCH_BLOCKS = 60;
const NATIVE = `0x${"0".repeat(40)}`;
const BOND = 10n ** 15n;
const ANSWER_BLOCKS = 30;

describe("disputes with the command line", function () {
  this.timeout(180_000);
  let net: LocalNet;
  let alice: Person;
  let file: string;
  let id: string;

  before(async () => {
    const offer = {
      prices: [{ token: NATIVE, pricePerGibEpoch: String(10n ** 16n), minimumFeePerEpoch: String(10n ** 14n) }],
      windowBlocks: 20,
      sampleCount: 20,
      dataSets: {
        graceBlocks: ANSWER_BLOCKS - 20,
        modes: ["every-epoch", "on-demand"],
        tokens: [{ token: NATIVE, disputeBond: String(BOND) }],
      },
    };
    const cspConfig = { offer, pollMilliseconds: 50, proofRetrySeconds: 1 };
    net = await startLocalNet({ ...SMALL_COMMITTEE, epochBlocks: EPOCH_BLOCKS, cspConfig });
    alice = await newPerson(net, "alice");
    file = join(net.dir, "file");
    writeFileSync(file, pseudoRandomBytes("disputed", 300_000));
  });
  after(() => net?.stop());

  const head = () => net.chain.provider.getBlockNumber();
  const mineTo = async (block: number) => {
    const missing = block - (await head());
    if (missing > 0) await net.chain.mine(missing);
  };
  const toNextEpoch = async () => mineTo((Math.floor((await head()) / EPOCH_BLOCKS) + 1) * EPOCH_BLOCKS);
  const documentOf = async (...args: string[]): Promise<Record<string, unknown>> => {
    const { exitCode, document, stderr } = await tallystick(alice, args);
    expect(exitCode, stderr).to.equal(0);
    return document;
  };
  const linesOf = async (...args: string[]) => {
    const { exitCode, stdout, stderr } = await startTallystick(alice, args).ended;
    expect(exitCode, stderr).to.equal(0);
    return { stdout, stderr };
  };
  const failed = async (exitCode: number, ...args: string[]) => {
    const result = await tallystick(alice, args);
    expect(result.exitCode, result.stderr).to.equal(exitCode);
    return result.document.error as Record<string, unknown>;
  };
  const available = async () => BigInt(String((await documentOf("data-set", "balance")).available));

  it("open a data set on demand when asked to, within the bond that is allowed", async () => {
    const tooDear = await failed(EXIT.usage, "put", file, "--mode", "on-demand", "--max-bond", String(BOND - 1n));
    expect(tooDear).to.include({ check: "dispute bond", received: String(BOND) });
    const unknown = await startTallystick(alice, ["put", file, "--mode", "never"]).ended;
    expect([unknown.exitCode, unknown.stderr]).to.satisfy(
      ([code, text]: [number, string]) => code === EXIT.usage && text.includes("every-epoch or on-demand"),
    );
    const put = await documentOf("put", file, "--mode", "on-demand", "--max-bond", String(BOND));
    const [set = {}] = put.dataSets as Record<string, unknown>[];
    id = String(set.id);
    const { stdout } = await linesOf("data-set", "show", id.slice(0, 10));
    expect(stdout).to.contain("mode     on-demand").and.contain("0.001 ETH").and.not.contain("dispute  open");
  });

  it("show the cost, take a bond, and give it to a provider that proves", async () => {
    await toNextEpoch();
    const dry = await linesOf("dispute", id, "--dry-run");
    expect(dry.stdout)
      .to.contain("bond 0.001 ETH")
      .and.contain(`${ANSWER_BLOCKS} blocks`)
      .and.match(/gas at most \d+/);
    expect((await documentOf("dispute", id, "--dry-run")).bond).to.equal(String(BOND));
    const before = await available();
    const refused = await failed(EXIT.funds, "dispute", id, "--max-gas-fee", "1000");
    expect(refused.check).to.equal("fee of the transaction");
    expect(await available()).to.equal(before);
    const { stdout, stderr } = await linesOf("dispute", id.slice(0, 10));
    expect(stderr).to.contain("lost if the provider proves").and.contain("ETH");
    expect(stdout).to.match(/until block \d+/);
    await net.chain.mine(3);
    const status = async () => documentOf("data-set", "show", id);
    await until("the provider has answered", async () => (await status()).provenEpochs === 1, 60);
    expect(await available()).to.equal(before - BOND);
    const again = await failed(EXIT.refused, "dispute", id);
    expect(again).to.include({ code: "CONFLICT", check: "one dispute per epoch" });
  });

  it("are settled for others by evidence that anybody can check, and that decides nothing when damaged", async () => {
    const evidence = join(net.dir, "evidence.cbor");
    const found = await documentOf("data-set", "verdict", id, "--samples", "2", "--export", evidence);
    expect(found).to.include({ verdict: "intact", fault: "nobody" });
    // A stranger has the file, and a deployment if it likes.
    const stranger = { ...alice, home: join(net.dir, "no-home") };
    const check = async (...args: string[]) => await tallystick(stranger, ["data-set", "verdict", "--check", ...args]);
    const online = await check(evidence);
    expect(online.exitCode, online.stderr).to.equal(EXIT.ok);
    expect(online.document).to.deep.include({ verdict: "intact", isDecided: true, assumed: [] });
    expect((await check(evidence, "--offline")).document).to.include({ verdict: "intact", isDecided: true });
    const bytes = readFileSync(evidence);
    const changed = async (name: string, content: Uint8Array) => {
      const path = join(net.dir, name);
      writeFileSync(path, content);
      return await check(path, "--offline");
    };
    // In the last chunk.
    const flipped = await changed(
      "flipped",
      bytes.map((byte, k) => (k === bytes.length - 9 ? byte ^ 1 : byte)),
    );
    expect(flipped.exitCode).to.equal(EXIT.incomplete);
    expect(flipped.document).to.include({ verdict: "damaged", fault: "provider", isDecided: false });
    const short = await changed("short", bytes.subarray(0, -9));
    expect(short.exitCode).to.equal(EXIT.usage);
    expect((short.document.error as { message: string }).message).to.contain(join(net.dir, "short"));
    const text = await startTallystick(stranger, [
      "data-set",
      "verdict",
      "--check",
      join(net.dir, "flipped"),
      "--offline",
    ]).ended;
    expect(text.stdout).to.contain("undecided").and.contain("not shown by this file");
    expect(await failed(EXIT.usage, "data-set", "verdict", id, "--export", evidence)).to.include({
      check: "evidence file",
    });
  });

  it("compensate the user when an audit has failed and the provider cannot prove", async () => {
    damageObjects(join(net.provider.dir, "data", "store"), 1);
    await toNextEpoch();
    const lost = await failed(EXIT.integrity, "audit", id.slice(0, 10));
    expect(lost.hint).to.contain(`tallystick dispute ${id}`);
    const before = await available();
    const opened = await documentOf("dispute", id);
    expect(opened).to.include({ id, bond: String(BOND) });
    const until_ = Number(opened.answerUntilBlock);
    expect(until_ - Number(opened.challengeBlock)).to.equal(ANSWER_BLOCKS);
    const shown = await linesOf("data-set", "show", id);
    expect(shown.stdout).to.contain(`to ${until_}`).and.contain("dispute  open");
    const waiting = await linesOf("data-set", "settle", id);
    expect(waiting.stdout).to.contain(`to be answered until block ${until_}`);
    await mineTo(until_);
    const settled = await linesOf("data-set", "settle", id);
    expect(settled.stdout).to.contain("the provider did not answer");
    const set = await documentOf("data-set", "show", id);
    expect(set).to.include({ missedEpochs: 1, provenEpochs: 1 });
    expect(set).not.to.have.property("dispute");
    const fee = BigInt(String(set.feePerEpoch));
    const { bountyPercent } = set.terms as { bountyPercent: number };
    // The fee, as much again, and the bounty; no epoch has passed in between.
    expect(await available()).to.equal(before + 2n * fee + (fee * BigInt(bountyPercent)) / 100n);
  });
});
