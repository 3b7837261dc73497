/**
 * An identity that is lost and comes back: by its phrase, by a wallet, by guardians. Every step is a command in a
 * process of its own, against key nodes and a provider that are processes too. Days pass on the chain in leaps.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { HDNodeWallet, id, type TypedDataDomain, type TypedDataField, Wallet } from "ethers";
import { claimIn, openClaim } from "../../offchain/agent/node/claim-file.ts";
import { identityOpeners } from "../../offchain/agent/node/identity-store.ts";
import { SILENT } from "../../offchain/agent/progress.ts";
import { EXIT } from "../../offchain/cli/exit-codes.ts";
import { type CommandUser, startTallystick, tallystick } from "../../scripts/demo/command.ts";
import { anvilWallet } from "../helpers/anvil.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { newPerson, type Person } from "../helpers/people.ts";
import { failure } from "../helpers/promises.ts";

const DAY = 86_400;
/** Blocks that a node waits for, and some more. */
const CONFIRMATIONS = 4;

const WRONG_NUMBER = id("WrongNumber(uint64,uint64)").slice(0, 10);

type Document = Record<string, unknown>;

describe("recovery of an identity", () => {
  let net: LocalNet;
  let dataId: string;
  let owner: Person;
  const content = "what must come back";

  before(async () => {
    net = await startLocalNet({ ...SMALL_COMMITTEE, nbmConfig: { releaseConfirmations: 3 } });
    owner = await newPerson(net, "owner");
    mkdirSync(join(net.dir, "files"));
    writeFileSync(join(net.dir, "files", "letter.txt"), content);
    dataId = String((await documentOf(owner, "put", join(net.dir, "files"))).dataId);
  });
  after(() => net?.stop());

  async function run(user: CommandUser, args: readonly string[], exitCode: number): Promise<Document> {
    const result = await tallystick(user, args);
    expect(result.exitCode, `${args.join(" ")}: ${result.stderr}`).to.equal(exitCode);
    return result.document;
  }
  const documentOf = (user: CommandUser, ...args: string[]) => run(user, args, EXIT.ok);
  const pending = (user: CommandUser, ...args: string[]) => run(user, args, EXIT.incomplete);
  async function errorOf(user: CommandUser, ...args: string[]): Promise<Document> {
    const { exitCode, document } = await tallystick(user, args);
    expect(exitCode, args.join(" ")).to.not.equal(EXIT.ok);
    return document.error as Document;
  }

  /** Somebody with an empty home. */
  function newcomer(name: string, extra: Readonly<Record<string, string>> = {}): CommandUser {
    const home = join(net.dir, name);
    mkdirSync(home, { mode: 0o700 });
    return { home, deploymentFile: net.deploymentFile, passphrase: `passphrase of ${name}`, extra };
  }

  async function newWallet(): Promise<HDNodeWallet> {
    const wallet = HDNodeWallet.createRandom();
    await net.fund([wallet.address]);
    return wallet;
  }

  async function pass(seconds: number): Promise<void> {
    await net.chain.provider.send("evm_increaseTime", [seconds]);
    await net.chain.mine(CONFIRMATIONS);
  }

  /** Names, contents and times of everything in a folder. */
  function contentsOf(folder: string): Record<string, string> {
    const found: Record<string, string> = {};
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      const facts = statSync(path);
      found[path] = `${facts.mtimeMs} ${entry.isFile() ? readFileSync(path).toString("base64") : "folder"}`;
    }
    return found;
  }

  async function transactionsOf(...accounts: string[]): Promise<number[]> {
    return await Promise.all(accounts.map((account) => net.chain.provider.getTransactionCount(account)));
  }

  /** Runs a drill, and holds it to what a drill promises. */
  async function drilled(user: CommandUser, exitCode: number, ...args: string[]): Promise<Document> {
    const block = await net.chain.provider.getBlockNumber();
    const before = contentsOf(user.home);
    const report = await run(user, ["recover", "--drill", ...args], exitCode);
    expect(contentsOf(user.home)).to.deep.equal(before);
    expect(await net.chain.provider.getBlockNumber()).to.equal(block);
    return report;
  }
  type Check = { check: string; outcome: string; decides: boolean; remedy?: string };
  const withOutcome = (report: Document, wanted: string) =>
    (report.checks as Check[])
      .filter(({ outcome, decides, remedy }) => {
        expect(remedy === undefined).to.equal(outcome === "passed");
        return outcome === wanted && decides;
      })
      .map(({ check }) => check);
  const failedIn = (report: Document) => withOutcome(report, "failed");
  const uncheckedIn = (report: Document) => withOutcome(report, "unchecked");

  async function expectRestored(user: CommandUser): Promise<void> {
    const out = join(user.home, "out");
    await documentOf(user, "get", dataId, "-o", out);
    expect(readFileSync(join(out, "files", "letter.txt"), "utf8")).to.equal(content);
  }

  /** Asks the key nodes with the claim in a home folder, whatever the chain says. @returns how they refuse */
  async function askNodes(user: CommandUser): Promise<unknown> {
    const claimed = { account: owner.account, path: "wallet" as const };
    const { identity } = await claimIn(user.home, user.passphrase, net.deployment, claimed);
    const claim = openClaim(identity, net.deployment, claimed, SILENT);
    try {
      return await failure(claim.release(await claim.look()));
    } finally {
      await claim.close();
    }
  }

  describe("by the phrase", () => {
    it("is rehearsed with the phrase, a wrong phrase and none, and restores on a new device", async () => {
      const phraseFile = join(net.dir, "phrase");
      writeFileSync(phraseFile, owner.recoveryPhrase, { mode: 0o600 });
      const report = await drilled(owner, EXIT.ok, "--phrase-file", phraseFile);
      expect(report).to.include({ account: owner.account, way: "phrase", outcome: "passed", phrase: "right" });
      const back = report.comesBack as Document;
      expect(back).to.include({ records: 1, snapshots: 1, totalBytes: content.length });
      expect((back.puts as Document[])[0]).to.include({ dataId });

      expect(uncheckedIn(await drilled(owner, EXIT.unchecked))).to.deep.equal(["recovery phrase"]);
      const wrongFile = join(net.dir, "wrong phrase");
      writeFileSync(wrongFile, (await newPerson(net, "somebody")).recoveryPhrase, { mode: 0o600 });
      const wrong = await drilled(owner, EXIT.incomplete, "--phrase-file", wrongFile);
      expect(wrong).to.include({ phrase: "of another identity", outcome: "failed" });

      const device = newcomer("new device");
      expect((await drilled(device, EXIT.ok, "--phrase-file", phraseFile)).comesBack).to.include({ records: 1 });
      expect(readdirSync(device.home)).to.deep.equal([]);
      expect((await documentOf(device, "recover", "--phrase-file", phraseFile)).account).to.equal(owner.account);
      await expectRestored(device);
    });
  });

  describe("by a wallet", () => {
    let wallet: HDNodeWallet;
    let keyFile: string;
    const claim = (...rest: string[]) => ["recover", "--account", owner.account, "--wallet", ...rest];

    before(async () => {
      wallet = await newWallet();
      keyFile = join(net.dir, "wallet key");
      writeFileSync(keyFile, wallet.privateKey, { mode: 0o600 });
    });

    it("is refused while the owner has named none", async () => {
      const report = await drilled(owner, EXIT.incomplete, "--wallet");
      expect(failedIn(report)).to.deep.equal(["recovery on chain"]);
      const stranger = newcomer("too early");
      const error = await errorOf(stranger, ...claim("--wallet-key-file", keyFile));
      expect(error).to.include({ code: "NOT_FOUND", party: `account ${owner.account}` });
      expect(readdirSync(stranger.home)).to.deep.equal([]);
    });

    it("is published, shown, and rehearsed by owner and wallet", async () => {
      const protect = ["recovery", "protect", "--wallet", wallet.address, "--delay", "3d"];
      const before = await transactionsOf(owner.account);
      const dry = await documentOf(owner, ...protect, "--dry-run");
      expect(Number((dry.quote as Document).gas)).to.be.greaterThan(200_000);
      expect(await errorOf(owner, ...protect, "--max-gas-fee", "1")).to.include({ code: "FUNDS" });
      expect(await transactionsOf(owner.account)).to.deep.equal(before);
      const done = await documentOf(owner, ...protect);
      expect(done).to.include({ version: 1 });
      expect(Number(done.gasUsed)).to.be.lessThan(Number((done.quote as Document).gas) + 1);
      const { protection } = (await documentOf(owner, "recovery", "show")) as { protection: Document };
      expect(protection).to.include({ version: 1, isLive: true });
      expect(protection).to.not.have.property("problem");
      expect(await documentOf(owner, "recovery", "find", wallet.address)).to.have.nested.property(
        "accounts[0].account",
        owner.account,
      );

      expect(await drilled(owner, EXIT.ok, "--wallet", "--wallet-key-file", keyFile)).to.include({ outcome: "passed" });
      expect(uncheckedIn(await drilled(owner, EXIT.unchecked, "--wallet"))).to.deep.equal(["key of the wallet"]);
      const other = join(net.dir, "other key");
      writeFileSync(other, Wallet.createRandom().privateKey, { mode: 0o600 });
      const wrong = await drilled(owner, EXIT.incomplete, "--wallet", "--wallet-key-file", other);
      expect(failedIn(wrong)).to.deep.equal(["key of the wallet"]);
      const nobody = newcomer("rehearsing");
      const bare = await drilled(nobody, EXIT.ok, "--account", owner.account, "--wallet", "--wallet-key-file", keyFile);
      expect(bare.comesBack).to.deep.equal({ records: 1, dataSets: 1 });
    });

    it("is told to the owner, who vetoes it: nothing is released, and the wallet can ask no more", async () => {
      const thief = newcomer("thief");
      const asked = await pending(thief, ...claim("--wallet-key-file", keyFile));
      expect(asked).to.include({ state: "scheduled" });
      const watched = await startTallystick(owner, ["--json", "watch", "--once"]).ended;
      expect(watched.exitCode).to.equal(EXIT.integrity);
      const told = watched.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Document);
      expect(told.find(({ kind }) => kind === "recovery-requested")).to.include({
        severity: "alarm",
        proposer: wallet.address,
      });
      const { warnings } = (await documentOf(owner, "status")) as { warnings: string[] };
      expect(warnings.join()).to.contain(`tallystick recovery veto ${wallet.address}`);

      const { vetoed } = (await documentOf(owner, "recovery", "veto", wallet.address)) as { vetoed: Document[] };
      expect(vetoed).to.have.length(1);
      await pass(4 * DAY);
      expect(await errorOf(thief, ...claim("--wallet-key-file", keyFile))).to.include({
        code: "CONFLICT",
        check: "veto of the owner",
      });
      expect(existsSync(join(thief.home, "keystore.json"))).to.equal(false);
      const report = await drilled(owner, EXIT.incomplete, "--wallet");
      expect(failedIn(report)).to.deep.equal(["no veto"]);
    });

    it("comes back in a new home after the delay, and not before; a veto after it is too late", async () => {
      await documentOf(owner, "recovery", "protect", "--wallet", wallet.address, "--delay", "3d");
      const device = newcomer("after the wallet", { TALLYSTICK_WALLET_KEY: wallet.privateKey });
      expect(await pending(device, ...claim())).to.include({ state: "scheduled", version: 2 });
      const sent = await transactionsOf(wallet.address);
      await pass(2 * DAY);
      // Run again too early: the request is not made twice.
      expect(await pending(device, ...claim())).to.include({ state: "scheduled" });
      expect(await transactionsOf(wallet.address)).to.deep.equal(sent);
      expect(await askNodes(device)).to.include({ code: "NOT_RELEASED", check: "said no", retryable: true });
      expect(existsSync(join(device.home, "keystore.json"))).to.equal(false);
      await pass(DAY + 1);
      expect(await errorOf(owner, "recovery", "veto")).to.include({
        code: "CONFLICT",
        party: `proposer ${wallet.address}`,
        check: "time of the veto",
      });
      const back = await documentOf(device, ...claim());
      expect(back).to.include({ account: owner.account, snapshots: 1 });
      expect(readdirSync(device.home)).to.not.include("recovery-claim.json");
      await expectRestored(device);
      expect((await documentOf(device, "phrase")).recoveryPhrase).to.equal(owner.recoveryPhrase);
    });

    it("comes back by a signature of a wallet elsewhere, into a keystore that a wallet opens", async () => {
      await documentOf(owner, "recovery", "protect", "--wallet", wallet.address, "--delay", "1h");
      const device = newcomer("after the signature", { TALLYSTICK_WALLET_URL: net.deployment.rpcUrl });
      const keystoreWallet = anvilWallet(3).address;
      const asked = (await pending(device, ...claim("--keystore-wallet", keystoreWallet))) as {
        state: string;
        typedData: { domain: TypedDataDomain; types: Record<string, TypedDataField[]>; message: Document };
      };
      expect(asked.state).to.equal("asking");
      const { EIP712Domain: _, ...types } = asked.typedData.types;
      const signature = await wallet.signTypedData(asked.typedData.domain, types, asked.typedData.message);
      const wrong = `${signature.slice(0, 20)}${signature[20] === "0" ? "1" : "0"}${signature.slice(21)}`;
      const error = await errorOf(device, ...claim("--signature", wrong));
      expect(error).to.include({ code: "CHAIN_REVERTED", check: "InvalidSignature" });
      expect(error.received).to.contain(wallet.address);
      expect(await pending(device, ...claim("--signature", signature))).to.include({ state: "scheduled" });
      await pass(3601);
      const other = await errorOf(device, ...claim("--keystore-wallet", anvilWallet(4).address));
      expect(other).to.include({ check: "wallet of the keystore", expected: keystoreWallet });
      await documentOf(device, ...claim());
      const openers = identityOpeners(device.home);
      expect([openers.passphrase, openers.wallets.map((one) => one.wallet)]).to.deep.equal([false, [keystoreWallet]]);
      await expectRestored(device);
    });
  });

  describe("by guardians", () => {
    let guardians: Person[];

    before(async () => {
      guardians = [];
      for (const name of ["first", "second", "third"]) guardians.push(await newPerson(net, `${name} guardian`));
    });

    it("comes back when two of three have approved, each of whom counts once", async () => {
      const [first, second, third] = guardians as [Person, Person, Person];
      const named = guardians.flatMap(({ account }) => ["--guardian", account]);
      await documentOf(owner, "recovery", "protect", ...named, "--threshold", "2", "--guardian-delay", "1d");
      const rehearsed = await drilled(owner, EXIT.ok, "--guardians");
      expect(rehearsed.steps).to.have.length(4);
      expect(failedIn(await drilled(owner, EXIT.incomplete, "--wallet"))).to.deep.equal(["wallet in the plan"]);

      const device = newcomer("after the guardians");
      const claim = ["recover", "--account", owner.account, "--guardians"];
      const asked = await pending(device, ...claim);
      expect(asked).to.include({ state: "asking" });
      const approve = (requester: unknown) => [
        "recovery",
        "approve",
        owner.account,
        "--for",
        String(requester),
        "--session",
        String(asked.sessionKey),
      ];

      expect(await documentOf(first, ...approve(asked.requester))).to.include({ isOpened: true, approvals: 1 });
      const { guarded } = (await documentOf(second, "recovery", "requests")) as {
        guarded: [Document & { requests: Document[] }];
      };
      expect(guarded[0]).to.include({ account: owner.account });
      const [request] = guarded[0].requests;
      expect(request).to.include({ requester: asked.requester, words: asked.words, isApproved: false });

      expect(await errorOf(first, ...approve(asked.requester))).to.include({
        code: "CONFLICT",
        party: `guardian ${first.account}`,
        check: "approvals of the request",
      });
      expect(await errorOf(owner, ...approve(asked.requester))).to.include({ code: "NOT_OWNER" });
      expect(await pending(device, ...claim)).to.include({ state: "collecting" });
      // Another requester is another request, which has one approval of its own.
      expect(await documentOf(third, ...approve(owner.account))).to.include({ isOpened: true, approvals: 1 });
      expect(await pending(device, ...claim)).to.include({ state: "collecting" });

      const last = await documentOf(second, ...approve(asked.requester));
      expect(last).to.include({ isOpened: false, approvals: 2 });
      expect(await pending(device, ...claim)).to.include({ state: "scheduled" });
      expect(await errorOf(third, ...approve(asked.requester))).to.include({ party: `guardian ${third.account}` });

      await replayed(first);
      await pass(DAY + 1);
      await documentOf(device, ...claim);
      await expectRestored(device);
    });

    /** The transaction that opened the request, sent once more by anybody. */
    async function replayed(guardian: Person): Promise<void> {
      const { provider } = net.chain;
      const head = await provider.getBlockNumber();
      const { recoveryPolicy } = net.deployment.contracts;
      for (let number = head; number > 0; number -= 1) {
        const block = await provider.getBlock(number, true);
        const opening = block?.prefetchedTransactions.find(
          ({ from, to }) => from === guardian.account && to === recoveryPolicy,
        );
        if (opening === undefined) continue;
        const call = { to: recoveryPolicy, data: opening.data, from: guardian.account };
        const refused = await provider.call(call).then(
          () => "accepted",
          (error: { data?: string }) => String(error.data).slice(0, 10),
        );
        expect(refused).to.equal(WRONG_NUMBER);
        return;
      }
      throw new Error("no opening was found");
    }

    it("is not possible while too few key nodes answer, as its rehearsal says", async () => {
      const [first, second] = net.nodes.map(({ process }) => process);
      await first?.stop();
      expect(await drilled(owner, EXIT.ok, "--guardians")).to.include({ outcome: "passed" });
      await second?.stop();
      const report = await drilled(owner, EXIT.unchecked, "--guardians");
      expect(report).to.include({ outcome: "unchecked" });
      expect(uncheckedIn(report)).to.include("enough key nodes");
      expect(failedIn(report)).to.deep.equal([]);
      const told = await startTallystick(owner, ["recover", "--drill", "--guardians"]).ended;
      expect(told.exitCode).to.equal(EXIT.unchecked);
      expect(told.stdout).to.match(/UNKNOWN enough key nodes: 1 of 3 are ready, 2 did not answer, 2 needed/);
      expect(told.stdout).to.match(/to do: rehearse it again when more key nodes answer/);
      await Promise.all([first?.start(), second?.start()]);
    });

    it("ends when the owner retires it", async () => {
      const retired = await documentOf(owner, "recovery", "retire");
      const { protection } = (await documentOf(owner, "recovery", "show")) as { protection: Document };
      expect(protection).to.include({ version: Number(retired.version), isLive: false });
      const late = newcomer("after the retirement");
      const claim = ["recover", "--account", owner.account, "--guardians"];
      expect(await errorOf(late, ...claim)).to.include({ code: "CONFLICT", check: "live version" });
    });
  });
});
