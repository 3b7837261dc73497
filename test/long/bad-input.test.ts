/**
 * Bad input on the user's side: files that cannot be read, disks that are full, passphrases and wishes for data
 * sets that are wrong. Each gets a typed error with the exit code of its kind, and nothing is recorded, paid or left
 * behind.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { DataSetReport } from "../../offchain/agent/data-sets/lane-report.ts";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import { type DataSetWords, NATIVE_TOKEN } from "../../offchain/chain/data-set-words.ts";
import { readSchedule } from "../../offchain/chain/escrow.ts";
import {
  closeDataSetCall,
  depositCall,
  openDataSetCall,
  reportDataSetMissCall,
  retireCall,
  withdrawBalanceCall,
} from "../../offchain/chain/escrow-calls.ts";
import { readOpened } from "../../offchain/chain/escrow-events.ts";
import type { ChainRevertedError } from "../../offchain/chain/revert.ts";
import { TransactionSender } from "../../offchain/chain/sender.ts";
import { EXIT, exitCodeOf } from "../../offchain/cli/exit-codes.ts";
import { sliceBytes } from "../../offchain/core/audit/field.ts";
import { auditTermsHash } from "../../offchain/core/data-set/terms.ts";
import type { ErrorCode } from "../../offchain/core/errors.ts";
import { identityFromPhrase } from "../../offchain/core/identity/identity.ts";
import { type CommandOptions, tallystick } from "../../scripts/demo/command.ts";
import { HttpProxy } from "../helpers/http-proxy.ts";
import { type LocalNet, NET_SLICE_ELEMENTS, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { registerUrl } from "../helpers/lying-node.ts";
import { escrowEvents, ledgerEvents, withChain } from "../helpers/on-chain.ts";
import { newPerson, type Person, withAgentOf } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";
import { requireSmallDisk } from "../helpers/small-disk.ts";
import { expectSameTree, readTree } from "../helpers/trees.ts";

const MIB = 1024 * 1024;
const DEALS: ReadonlySet<string> = new Set(["Deposited", "DataSetOpened", "DataSetScheduled", "NoticeGiven"]);
/** Root may read what nobody may, until that right is taken from it. */
const AS_OTHERS: CommandOptions =
  process.getuid?.() === 0 ? { wrapper: ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"] } : {};

describe("bad input", () => {
  let net: LocalNet;
  let alice: Person;
  let places = 0;
  const dir = (...names: string[]) => join(net.dir, ...names);

  before(async () => {
    net = await startLocalNet(SMALL_COMMITTEE);
    alice = await newPerson(net, "alice");
  });
  after(() => net?.stop());

  /** A new empty folder. */
  function place(): string {
    places += 1;
    mkdirSync(dir(`place ${places}`));
    return dir(`place ${places}`);
  }

  /** Deposits and states of sets: not the proofs that the provider sends in the background. */
  async function deals(): Promise<number> {
    return (await escrowEvents(net)).filter(({ kind }) => DEALS.has(kind)).length;
  }

  /** What must not change when something is refused. */
  async function state() {
    const preparations = join(alice.home, "preparations");
    return {
      ledger: (await ledgerEvents(net)).length,
      deals: await deals(),
      puts: await withAgentOf(net, alice, async (agent) => agent.list()),
      preparations: existsSync(preparations) ? readdirSync(preparations) : [],
    };
  }

  /** Runs a command that must fail. @returns the error of its document */
  async function expectFailure(args: string[], code: ErrorCode, options: CommandOptions = {}, user = alice) {
    const before = await state();
    const { exitCode, document, stderr } = await tallystick(user, args, options);
    const error = document.error as Record<string, unknown>;
    expect(error, JSON.stringify(document)).to.include({ code });
    expect(error.message).to.be.a("string");
    expect(stderr).to.contain("tallystick: error: ");
    expect(exitCode).to.equal(exitCodeOf(code));
    expect(await state()).to.deep.equal(before);
    return error;
  }

  /** Puts a folder as another user of the machine: the rest is stored, and the exit code says that something is not. */
  async function expectIncomplete(folder: string, remark: Record<string, string>, entries: number): Promise<void> {
    const put = await tallystick(alice, ["put", "--no-data-set", folder], AS_OTHERS);
    expect(put.exitCode, put.stderr).to.equal(EXIT.incomplete);
    expect(put.document).to.deep.include({ entries });
    const leftOut = { incomplete: true, counts: { [String(remark.kind)]: 1 }, remarks: [remark] };
    expect(put.document.leftOut).to.deep.equal(leftOut);
    expect(put.stderr).to.contain(String(remark.path));
  }

  describe("to put", () => {
    it("as a file that may not be read: FILE_UNREADABLE when it is named, left out below a folder", async () => {
      const folder = place();
      writeFileSync(join(folder, "a readable one"), "readable");
      const secret = join(folder, "secret");
      writeFileSync(secret, "secret");
      chmodSync(secret, 0o000);
      const error = await expectFailure(["put", secret], "FILE_UNREADABLE", AS_OTHERS);
      expect(error).to.deep.include({ party: "you", received: "EACCES", details: { path: secret } });
      await expectIncomplete(folder, { kind: "unreadable", path: secret, reason: "permission denied; left out" }, 2);
    });

    it("as a folder that may not be listed: stored without what is in it", async () => {
      const folder = place();
      const closed = join(folder, "closed");
      mkdirSync(closed);
      chmodSync(closed, 0o000);
      await expectIncomplete(folder, { kind: "unreadable", path: closed, reason: "permission denied" }, 2);
      chmodSync(closed, 0o700);
    });

    it("as a folder with a pipe in it: stored without the pipe", async () => {
      const folder = place();
      const pipe = join(folder, "pipe");
      spawnSync("mkfifo", [pipe]);
      const reason = "a device, a socket or a pipe, which cannot be stored";
      await expectIncomplete(folder, { kind: "special", path: pipe, reason }, 1);
    });

    it("as a file whose device fails: FILE_UNREADABLE", async () => {
      // A process reading its own memory at the address 0 gets EIO, as from a broken disk.
      const error = await expectFailure(["put", "/proc/self/mem"], "FILE_UNREADABLE");
      expect(error).to.include({ received: "EIO" });
      expect(error.message).to.contain("the device failed");
    });

    it("as a path that does not exist: FILE_UNREADABLE", async () => {
      const error = await expectFailure(["put", dir("not there")], "FILE_UNREADABLE");
      expect(error).to.deep.include({ received: "ENOENT", details: { path: dir("not there") } });
    });

    for (const [what, make] of [
      ["a pipe", (path: string) => spawnSync("mkfifo", [path])],
      ["a link to a device that is named", (path: string) => symlinkSync("/dev/zero", path)],
    ] as const) {
      it(`as ${what}: ${what === "a pipe" ? "INVALID_INPUT" : "kept as the link it is"}`, async () => {
        const path = join(place(), "special");
        make(path);
        if (what === "a pipe") {
          const error = await expectFailure(["put", path], "INVALID_INPUT");
          expect(error).to.deep.include({ check: "file type", details: { path } });
        } else {
          const put = await tallystick(alice, ["put", path, "--no-data-set"]);
          expect(put.document, put.stderr).to.include({ entries: 1, totalBytes: 0 });
        }
      });
    }

    it("as two paths of one name: INVALID_INPUT", async () => {
      const [one, other] = [place(), place()];
      for (const folder of [one, other]) writeFileSync(join(folder, "same"), folder);
      const error = await expectFailure(["put", join(one, "same"), join(other, "same")], "INVALID_INPUT");
      expect(error.received).to.contain(one).and.to.contain(other);
    });

    describe("as a file that", () => {
      let proxies: HttpProxy[];
      /** Done before the first evaluation: a third of the input has been read then, at most. */
      let meanwhile: (() => void) | undefined;

      before(async () => {
        proxies = await Promise.all(net.nodes.map(({ url }) => HttpProxy.start(url)));
        for (const proxy of proxies) {
          proxy.intercept = async ({ path }) => {
            if (path !== "/v1/oprf/evaluate") return undefined;
            meanwhile?.();
            meanwhile = undefined;
            return undefined;
          };
        }
        await Promise.all(net.nodes.map((node, i) => registerUrl(net, node, proxies[i]?.url ?? "")));
      });
      after(async () => {
        await Promise.all(net.nodes.map((node) => registerUrl(net, node, node.url)));
        await Promise.all(proxies.map((proxy) => proxy.stop()));
      });

      for (const [what, name, spoil, kind] of [
        ["vanishes", "z small", (path: string) => rmSync(path), "unreadable"],
        ["grows", "large", (path: string) => writeFileSync(path, "more", { flag: "a" }), "changed"],
        ["is cut", "large", (path: string) => truncateSync(path, 20 * MIB), "changed"],
        ["is written to", "large", (path: string) => writeFileSync(path, "other", { flag: "r+" }), "changed"],
      ] as const) {
        it(`${what} meanwhile: the rest is stored, and the file is named`, async () => {
          const folder = place();
          writeFileSync(join(folder, "large"), pseudoRandomBytes("meanwhile", 32 * MIB));
          writeFileSync(join(folder, "z small"), "small");
          const victim = join(folder, name);
          meanwhile = () => spoil(victim);
          const { leftOut, entries } = await withAgentOf(net, alice, (agent) =>
            agent.put([folder], { dataSet: false }),
          );
          expect(meanwhile).to.equal(undefined);
          expect(leftOut).to.deep.include({ incomplete: true, counts: { [kind]: 1 } });
          expect(leftOut.remarks[0]).to.deep.include({ kind, path: victim });
          // What had been read of it before is stored, but not what had vanished before it was read.
          expect(entries).to.equal(kind === "changed" ? 3 : 2);
          rmSync(folder, { recursive: true });
        });
      }
    });
  });

  describe("with a disk that is full", () => {
    let folder: string;
    let dataId: string;

    before(async () => {
      folder = place();
      writeFileSync(join(folder, "large"), pseudoRandomBytes("disk", 6 * MIB));
      writeFileSync(join(folder, "small"), "small");
    });

    it("at the provider: STORAGE_UNAVAILABLE naming it, then put finishes when there is space", async () => {
      const { process } = net.provider;
      await process.stop();
      await process.start(requireSmallDisk(join(net.provider.dir, "data", "store"), 2 * MIB));
      const error = await expectFailure(["put", folder, "--runway", "2"], "STORAGE_UNAVAILABLE");
      expect(error).to.deep.include({ party: `provider ${net.provider.url}`, retryable: true });
      await process.stop();
      await process.start();
      const put = await tallystick(alice, ["put", folder, "--runway", "2"]);
      expect(put.exitCode, put.stderr).to.equal(0);
      expect((put.document.dataSets as unknown[])[0]).to.include({ isNew: true });
      dataId = String(put.document.dataId);
    });

    it("where files are restored to: DISK_FULL, no half file under its name, and get works elsewhere", async () => {
      const target = place();
      // The file system goes with the command, so what it left is listed before it ends.
      const listing = dir("left behind");
      const disk = requireSmallDisk(target, 2 * MIB);
      const wrapper = [
        ...disk,
        "sh",
        "-c",
        `"$@"; code=$?; ls -A ${JSON.stringify(join(target))}/* > "${listing}"; exit $code`,
        "sh",
      ];
      const error = await expectFailure(["get", dataId, "-o", target], "DISK_FULL", { wrapper });
      expect(error).to.include({ party: "this machine" });
      const left = readFileSync(listing, "utf8")
        .split("\n")
        .filter((name) => name !== "");
      expect(left.filter((name) => !/^\.tallystick-[0-9a-f]{24}\.part$/.test(name) && name !== "small")).to.deep.equal(
        [],
      );
      const out = dir("restored elsewhere");
      expect((await tallystick(alice, ["get", dataId, "-o", out])).exitCode).to.equal(0);
      const [name = ""] = readdirSync(out);
      expectSameTree(readTree(join(out, name)), readTree(folder));
    });

    it("where tags are kept: DISK_FULL, data and key are stored, and put finishes once there is space", async () => {
      const file = join(place(), "tagged");
      writeFileSync(file, pseudoRandomBytes("tagged", 6 * MIB));
      const preparations = join(alice.home, "preparations");
      mkdirSync(preparations, { recursive: true });
      const before = await state();
      const wrapper = requireSmallDisk(preparations, 4096);
      const failed = await tallystick(alice, ["put", file, "--runway", "2"], { wrapper });
      expect(failed.document.error).to.include({ code: "DISK_FULL", party: "this machine" });
      expect(failed.exitCode).to.equal(exitCodeOf("DISK_FULL"));
      expect((await state()).deals).to.equal(before.deals);
      const put = await tallystick(alice, ["put", file, "--runway", "2"]);
      expect(put.exitCode, put.stderr).to.equal(0);
      const [set] = put.document.dataSets as { addedSlices: number }[];
      expect(set?.addedSlices).to.be.greaterThan((6 * MIB) / sliceBytes(NET_SLICE_ELEMENTS));
    });
  });

  describe("as an identity or a deployment", () => {
    const other = (over: Partial<Person>): Person => ({ ...alice, ...over });

    it("with a wrong passphrase: WRONG_PASSPHRASE", async () => {
      const error = await expectFailure(["status"], "WRONG_PASSPHRASE", {}, other({ passphrase: "not this one" }));
      expect(error.hint).to.be.a("string");
    });

    it("with no keystore, a damaged one, or one of another version", async () => {
      const home = place();
      await expectFailure(["ls"], "NO_IDENTITY", {}, other({ home }));
      const keystore = JSON.parse(readFileSync(join(alice.home, "keystore.json"), "utf8")) as Record<string, unknown>;
      writeFileSync(join(home, "keystore.json"), "{", { mode: 0o600 });
      await expectFailure(["ls"], "INVALID_INPUT", {}, other({ home }));
      writeFileSync(join(home, "keystore.json"), JSON.stringify({ ...keystore, version: 99 }), { mode: 0o600 });
      await expectFailure(["ls"], "UNKNOWN_VERSION", {}, other({ home }));
    });

    it("with a recovery phrase whose checksum is wrong: INVALID_INPUT, and no keystore", async () => {
      const home = dir("mistyped");
      const words = alice.recoveryPhrase.split(" ");
      const mistyped = [...words.slice(0, -1), words[0] === words.at(-1) ? "abandon" : words[0]].join(" ");
      const user = { ...other({ home }), extra: { TALLYSTICK_RECOVERY_PHRASE: mistyped } };
      const error = await expectFailure(["recover"], "INVALID_INPUT", {}, user);
      expect(JSON.stringify(error)).to.not.contain(words.slice(0, 3).join(" "));
      expect(existsSync(join(home, "keystore.json"))).to.equal(false);
    });

    it("with no deployment file, a malformed one, or one for another chain: NO_DEPLOYMENT, WRONG_NETWORK", async () => {
      const deploymentFile = dir("broken-deployment.json");
      await expectFailure(["status"], "NO_DEPLOYMENT", {}, other({ deploymentFile }));
      for (const text of ["{", "{}"]) {
        writeFileSync(deploymentFile, text);
        await expectFailure(["status"], "NO_DEPLOYMENT", {}, other({ deploymentFile }));
      }
      // The home has been used with the network of these tests.
      writeFileSync(deploymentFile, JSON.stringify({ ...net.deployment, chainId: 1 }));
      await expectFailure(["status"], "WRONG_NETWORK", {}, other({ deploymentFile }));
    });

    it("with a catalogue that is no database: DISK_FAILED", async () => {
      const home = place();
      cpSync(join(alice.home, "keystore.json"), join(home, "keystore.json"));
      writeFileSync(join(home, "agent.db"), pseudoRandomBytes("no database", 8192));
      await expectFailure(["ls"], "DISK_FAILED", {}, other({ home }));
    });
  });

  describe("about a data set", () => {
    let set: DataSetReport;
    const id = () => set.id ?? "";

    before(async () => {
      const file = join(place(), "kept");
      writeFileSync(file, "kept");
      const report = await withAgentOf(net, alice, (agent) => agent.put([file]));
      set = report.dataSets[0] as DataSetReport;
    });

    /** Terms and newest schedule of the set. */
    async function wordsOf() {
      return await withChain(net, async (chain) => {
        const opened = await readOpened(chain, id());
        const scheduled = await readSchedule(chain, id(), undefined);
        if (opened === undefined || scheduled === undefined) throw new Error("the set is not on chain");
        return { ...opened, ...scheduled, id: opened.id };
      });
    }
    type Words = Awaited<ReturnType<typeof wordsOf>>;

    /** Sends a call that the escrow must refuse. @returns name and arguments of its refusal */
    async function expectRefusal(make: (words: Words) => ContractCall, by: Person = alice) {
      const before = await state();
      const words = await wordsOf();
      const error = await withChain(net, async (chain) => {
        const sender = new TransactionSender(chain, identityFromPhrase(by.recoveryPhrase).signingKey);
        return (await expectAsyncRejection(() => sender.send(make(words)), "CHAIN_REVERTED")) as ChainRevertedError;
      });
      expect(await state()).to.deep.equal(before);
      return error.revert;
    }

    /** A first state that the provider never signed. */
    const unsigned = {
      version: 1n,
      contentHash: `0x${"12".repeat(32)}`,
      deadlineBlock: 1_000_000n,
      userSignature: "0x",
      providerSignature: `0x${"34".repeat(65)}`,
    };

    it("that its provider never signed, or on terms that the escrow does not know", async () => {
      const salt = `0x${"56".repeat(32)}`;
      const open = ({ terms, audit, ranges }: Words) => {
        const other = { ...audit, salt };
        const changed = { ...terms, auditHash: auditTermsHash(other) };
        return openDataSetCall(net.deployment, changed, other, { ...unsigned, ranges });
      };
      expect((await expectRefusal(open)).name).to.equal("SignatureInvalid");
      const again = ({ terms, audit, ranges }: Words) =>
        openDataSetCall(net.deployment, terms, audit, { ...unsigned, ranges });
      expect((await expectRefusal(again)).name).to.equal("DataSetExists");
      const foreign = ({ terms, schedule }: Words) =>
        closeDataSetCall(net.deployment, { terms: { ...terms, feeFloor: terms.feeFloor + 1n }, schedule });
      expect((await expectRefusal(foreign)).name).to.equal("UnknownDataSet");
    });

    it("with an older schedule than the newest, and before its end is known", async () => {
      const close = (schedule: (words: DataSetWords) => Uint8Array) => (words: Words) =>
        closeDataSetCall(net.deployment, { terms: words.terms, schedule: schedule(words) });
      expect((await expectRefusal(close(({ schedule }) => schedule.map((byte) => byte ^ 1)))).name).to.equal(
        "WrongSchedule",
      );
      expect((await expectRefusal(close(({ schedule }) => schedule))).name).to.equal("StillRunning");
    });

    it("out of which somebody else takes slices, or its user all of them", async () => {
      const mallory = await newPerson(net, "mallory");
      const retire = (words: Words) => retireCall(net.deployment, words, undefined, new Uint8Array());
      expect((await expectRefusal(retire, mallory)).name).to.equal("NotUser");
      expect((await expectRefusal(retire)).name).to.be.oneOf(["InvalidTerms", "InvalidRanges", "ChangePending"]);
      const ranges = set.liveRanges;
      const failure = await withAgentOf(net, alice, (agent) =>
        expectAsyncRejection(() => agent.dataSets.retire(id(), ranges), "INVALID_INPUT"),
      );
      expect(failure.hint).to.contain("notice");
      await withAgentOf(net, mallory, (agent) =>
        expectAsyncRejection(() => agent.dataSets.giveNotice(id()), "NOT_OWNER"),
      );
    });

    it("of which an epoch is reported that is still to come, or that began before it", async () => {
      const report = (epoch: number) => (words: Words) => reportDataSetMissCall(net.deployment, words, epoch);
      expect((await expectRefusal(report(100_000))).name).to.equal("NotReportable");
      expect((await expectRefusal(report(0))).name).to.be.oneOf(["NotPartOfSet", "EpochSettled"]);
    });

    it("from whose balance more is withdrawn than is there, or nothing is added", async () => {
      const { available } = await withAgentOf(net, alice, (agent) => agent.dataSets.balance());
      const call = (amount: bigint) => () => withdrawBalanceCall(net.deployment, NATIVE_TOKEN, alice.account, amount);
      expect((await expectRefusal(call(available))).name).to.equal("BalanceTooLow");
      const nothing = () => depositCall(net.deployment, NATIVE_TOKEN, alice.account, 0n);
      expect((await expectRefusal(nothing)).name).to.equal("InvalidAmount");
      for (const args of [
        ["top-up", "0"],
        ["withdraw", "--amount", "0"],
        ["top-up", "-1"],
      ]) {
        await expectFailure(["data-set", ...args], "INVALID_INPUT");
      }
    });

    it("for fewer epochs than none, on the command line", async () => {
      for (const runway of ["-1", "2.5", "long"]) {
        await expectFailure(["put", net.deploymentFile, "--runway", runway], "INVALID_INPUT");
      }
    });

    it("at a higher price than the user allows, or with more draws than the provider takes", async () => {
      const file = join(place(), "wished");
      writeFileSync(file, "wished");
      for (const wishes of [
        { maximumFeePerEpoch: 1n },
        { sampleCount: 60_000 },
        { runwayEpochs: -1 },
        { token: alice.account },
      ]) {
        const before = await deals();
        await withAgentOf(net, alice, (agent) =>
          expectAsyncRejection(() => agent.put([file], { dataSet: wishes }), "INVALID_INPUT"),
        );
        expect(await deals()).to.equal(before);
        // Nothing was stored for it either.
        expect(
          await withAgentOf(net, alice, async (agent) => (await agent.list()).map(({ name }) => name)),
        ).to.not.include("wished");
      }
    });

    it("that the account cannot pay: FUNDS, with the data stored and its key recorded", async () => {
      const file = join(place(), "unpaid");
      writeFileSync(file, "unpaid");
      const poor = await newPerson(net, "poor");
      await net.chain.provider.send("anvil_setBalance", [poor.account, "0x1"]);
      const before = await deals();
      const { exitCode, document } = await tallystick(poor, ["put", file]);
      expect(document.error).to.include({ code: "FUNDS" });
      expect(exitCode).to.equal(exitCodeOf("FUNDS"));
      expect(await deals()).to.equal(before);
      const { document: recovered } = await tallystick(poor, ["recover"]);
      const [put] = recovered.recovered as { dataId: string; name: string }[];
      expect(put?.name).to.equal("unpaid");
      expect((await tallystick(poor, ["get", put?.dataId ?? "", "-o", dir("paid nothing")])).exitCode).to.equal(0);
    });
  });
});
