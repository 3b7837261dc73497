/** Commands by which operators leave and are paid, as processes on a real chain. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { getAddress } from "ethers";
import { readBooks, readPool, readUserAccount } from "../../offchain/chain/escrow.ts";
import { depositCall } from "../../offchain/chain/escrow-calls.ts";
import { readNode, registerNodeCall } from "../../offchain/chain/registry.ts";
import { TransactionSender } from "../../offchain/chain/sender.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { formatEther } from "../../offchain/core/encoding/amounts.ts";
import { createDaemonKeystore, openDaemonKeystore, operatorKey } from "../../offchain/daemon/keystore-file.ts";
import { programPath } from "../../scripts/programs.ts";
import { Device, ok, SLICE_ELEMENTS } from "../csp/data-sets/device.ts";
import { randomChunk } from "../csp/provider-fixture.ts";
import { NATIVE, ProviderProcess, TEST_OFFER } from "../csp/provider-process.ts";
import { runDaemonCommandBeside } from "../helpers/daemon-process.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";

type Kind = "nbm" | "csp" | "verifier";

const PASSPHRASE = "operators in tests";
const EXIT_DELAY_SECONDS = 3600;
const STAKE_WEI = 10n ** 18n;
const RECEIVER = getAddress(`0x${"0".repeat(38)}aa`);

describe("commands of operators", function () {
  this.timeout(120_000);
  let local: LocalChain;
  const folders: string[] = [];

  before(async () => {
    await auditReady();
    const parameters = { epochBlocks: 60n, noticeEpochs: 2n, exitDelaySeconds: BigInt(EXIT_DELAY_SECONDS) };
    local = await startLocalChain({ parameters });
  });
  after(async () => {
    await local.stop();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });

  type Command = (word: string, ...args: string[]) => ReturnType<typeof runDaemonCommandBeside>;
  const commandOf = (kind: Kind, folder: string, passphrase: string): Command => {
    const env = { TALLYSTICK_PASSPHRASE: passphrase };
    return (word, ...args) =>
      runDaemonCommandBeside(
        programPath(`tallystick-${kind}`),
        [word, "--config", join(folder, "config.json"), ...args],
        env,
      );
  };
  /** The document that a command prints. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look at whatever came back
  const printed = async (running: ReturnType<Command>): Promise<any> => {
    const { status, stdout, stderr } = await running;
    if (status !== 0) throw new Error(`exit code ${status}: ${stderr}`);
    return JSON.parse(stdout);
  };

  /** A folder with keystore and configuration, funded. */
  async function operatorOf(kind: Kind) {
    const folder = mkdtempSync(join(tmpdir(), `tallystick-${kind}-command-`));
    folders.push(folder);
    const keystoreFile = join(folder, "keystore.json");
    const account = await createDaemonKeystore(keystoreFile, PASSPHRASE, kind, { n: 2, r: 8, p: 1 });
    writeFileSync(join(folder, "deployment.json"), JSON.stringify(local.deployment));
    const passphraseFile = join(folder, "passphrase");
    writeFileSync(passphraseFile, PASSPHRASE, { mode: 0o600 });
    const config = {
      listen: { host: "127.0.0.1", port: 0 },
      dataDir: join(folder, "data"),
      deploymentFile: join(folder, "deployment.json"),
      keystoreFile,
      passphraseFile,
    };
    writeFileSync(join(folder, "config.json"), JSON.stringify(config));
    await local.fund([account]);
    const key = operatorKey(await openDaemonKeystore(config, kind), kind);
    return { account, run: commandOf(kind, folder, PASSPHRASE), sender: new TransactionSender(local.chain, key) };
  }

  it("let a provider end a data set and move its collateral while the daemon runs", async () => {
    const offer = {
      ...TEST_OFFER,
      dataSets: {
        graceBlocks: 5,
        sliceElements: [SLICE_ELEMENTS],
        maximumIndex: 100,
        tokens: [{ token: NATIVE, reserve: String(10n ** 18n) }],
      },
    };
    const provider = await ProviderProcess.prepare(local, { offer });
    await provider.start();
    try {
      const run = commandOf("csp", provider.folder, "providers in tests");
      const alice = await Device.connect(local.chain, provider, local.account(1));
      await alice.deposit(10n ** 15n);
      await alice.begin();
      await alice.add(randomChunk(100));
      ok(await alice.open());

      const pool = () => readPool(local.chain, NATIVE, provider.operator);
      const { locked } = await pool();
      expect(await printed(run("collateral", "deposit", "5000", "--json"))).to.include({ locked: String(locked) });
      expect((await pool()).total).to.be.greaterThanOrEqual(5000n + locked);
      const shown = await run("collateral");
      expect([shown.status, shown.stdout]).to.deep.equal([
        0,
        `the pool has ${(await pool()).total}, of which ${locked} is locked\n`,
      ]);
      const free = (await pool()).total - locked;
      expect((await run("collateral", "withdraw", String(free + 1n))).stderr).to.contain(formatEther(free));
      expect((await printed(run("collateral", "withdraw", "1000", "--to", RECEIVER, "--json"))).withdrawable).to.equal(
        String(free - 1000n),
      );
      expect(await local.chain.provider.getBalance(RECEIVER)).to.equal(1000n);
      const mistakes = { burn: "no such action", deposit: "an amount is needed" };
      for (const [word, message] of Object.entries(mistakes)) {
        const refused = await run("collateral", word);
        expect([refused.status, refused.stdout]).to.deep.equal([2, ""]);
        expect(refused.stderr).to.contain(message);
      }

      expect((await run("notice", alice.id, "--max-gas-fee", "1")).stderr).to.contain("would cost more than allowed");
      expect((await readBooks(local.chain, alice.id))?.noticedEnd).to.equal(undefined);
      const notice = await printed(run("notice", alice.id, "--json"));
      expect(notice).to.deep.include({ id: alice.id, lastEpoch: (await readBooks(local.chain, alice.id))?.noticedEnd });
      expect(notice.transactionHash).to.match(/^0x[0-9a-f]{64}$/);
      expect((await run("notice", `0x${"12".repeat(32)}`)).stderr).to.contain("this provider has no such data set");
      expect((await run("notice", "0x12")).status).to.equal(2);
      // The daemon's own transactions go on.
      const other = await Device.connect(local.chain, provider, local.account(2));
      await other.deposit(10n ** 15n);
      await other.begin();
      await other.add(randomChunk(100));
      expect(ok(await other.open()).transaction.blockNumber).to.be.greaterThan(0);
    } finally {
      await provider.remove();
    }
  });

  it("let a node leave, and have its stake back after the delay", async () => {
    const node = await operatorOf("nbm");
    expect((await node.run("exit")).stderr).to.contain("the node is not registered");
    const entry = { url: "https://node.example.org", hpkePublicKey: new Uint8Array(32).fill(9), stakeWei: STAKE_WEI };
    await node.sender.send(registerNodeCall(local.deployment, entry));
    expect((await node.run("withdraw-stake")).stderr).to.contain("tallystick-nbm exit");
    const { exitAt, transactionHash } = await printed(node.run("exit", "--json"));
    expect(exitAt).to.equal((await readNode(local.chain, node.account))?.exitAt);
    expect(transactionHash).to.match(/^0x[0-9a-f]{64}$/);
    // Once more changes nothing.
    expect(await printed(node.run("exit", "--json"))).to.deep.equal({ exitAt });
    expect((await node.run("withdraw-stake")).stderr).to.contain("the stake is not free yet");
    await local.chain.provider.send("evm_increaseTime", [EXIT_DELAY_SECONDS + 1]);
    await local.mine(1);
    const before = await local.chain.provider.getBalance(RECEIVER);
    expect(await printed(node.run("withdraw-stake", "--to", RECEIVER, "--json"))).to.include({
      stakeWei: String(STAKE_WEI),
    });
    expect((await local.chain.provider.getBalance(RECEIVER)) - before).to.equal(STAKE_WEI);
  });

  it("pay out a verifier's bounties", async () => {
    const verifier = await operatorOf("verifier");
    expect((await verifier.run("withdraw")).stderr).to.contain("error: the balance");
    // As the escrow credits a bounty.
    const { to, data, value = 0n } = depositCall(local.deployment, NATIVE, verifier.account, 700n);
    await (await local.account(3).sendTransaction({ to, data, value })).wait();
    const before = await local.chain.provider.getBalance(RECEIVER);
    expect((await verifier.run("withdraw", "701")).stderr).to.contain(formatEther(700n));
    expect(await printed(verifier.run("withdraw", "300", "--to", RECEIVER, "--json"))).to.include({
      amount: "300",
      left: "400",
    });
    const rest = await verifier.run("withdraw", "--to", RECEIVER);
    expect([rest.status, rest.stdout]).to.deep.equal([0, `withdrew 400 to ${RECEIVER}\n`]);
    expect((await local.chain.provider.getBalance(RECEIVER)) - before).to.equal(700n);
    expect((await readUserAccount(local.chain, NATIVE, verifier.account)).available).to.equal(0n);
  });

  it("have an example in their help", async () => {
    for (const [kind, word] of [
      ["csp", "notice"],
      ["csp", "collateral"],
      ["nbm", "exit"],
      ["nbm", "withdraw-stake"],
      ["verifier", "withdraw"],
    ] as const) {
      const { status, stdout } = await runDaemonCommandBeside(programPath(`tallystick-${kind}`), [word, "--help"]);
      expect(status).to.equal(0);
      expect(stdout).to.include(`tallystick-${kind} ${word} --config ${kind}.json`).and.include("--max-gas-fee <wei>");
    }
  });
});
