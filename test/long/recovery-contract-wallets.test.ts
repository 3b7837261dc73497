/**
 * An identity that comes back by wallets that are contracts (EIP-1271): one as the recovery wallet, one as a guardian.
 * Every step is a command in a process of its own, against key nodes and a provider that are processes too.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { HDNodeWallet, type TypedDataDomain, type TypedDataField } from "ethers";
import { EXIT } from "../../offchain/cli/exit-codes.ts";
import { type CommandUser, tallystick } from "../../scripts/demo/command.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { newPerson, type Person } from "../helpers/people.ts";
import { deployTwoFacedWallet, deployZoo } from "../helpers/wallet-signer.ts";

const DAY = 86_400;
/** Blocks that a node waits for, and some more. */
const CONFIRMATIONS = 4;
/** `WALLET_GAS` of contracts/libraries/AccountSignature.sol, and twice a proposal of everything else. */
const MOST_GAS = 1_000_000n;
/** Of `OddWallet.Answer`. */
const ODD = { reverts: 0, "says no": 1, "answers with too little": 4, "burns its gas": 7, "reverts with yes": 8 };

type Document = Record<string, unknown>;
interface Typed {
  readonly domain: TypedDataDomain;
  readonly types: Record<string, TypedDataField[]>;
  readonly message: Document;
}

describe("recovery of an identity by contract wallets", () => {
  let net: LocalNet;
  let owner: Person;
  let dataId: string;
  let signer: HDNodeWallet;
  const content = "what must come back";

  before(async () => {
    net = await startLocalNet({ ...SMALL_COMMITTEE, nbmConfig: { releaseConfirmations: 3 } });
    owner = await newPerson(net, "owner");
    mkdirSync(join(net.dir, "files"));
    writeFileSync(join(net.dir, "files", "letter.txt"), content);
    dataId = String((await documentOf(owner, "put", join(net.dir, "files"))).dataId);
    signer = HDNodeWallet.createRandom().connect(net.chain.provider);
    await net.fund([signer.address]);
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

  /** Somebody with an empty home; the fresh account of a claim gets coins of the development chain. */
  function newcomer(name: string): CommandUser {
    const home = join(net.dir, name);
    mkdirSync(home, { mode: 0o700 });
    return { home, deploymentFile: net.deploymentFile, passphrase: `passphrase of ${name}` };
  }

  async function pass(seconds: number): Promise<void> {
    await net.chain.provider.send("evm_increaseTime", [seconds]);
    await net.chain.mine(CONFIRMATIONS);
  }

  const claim = (...rest: string[]) => ["recover", "--account", owner.account, "--wallet", ...rest];
  const protect = (wallet: string) =>
    documentOf(owner, "recovery", "protect", "--wallet", wallet, "--delay", "1h", "--window", "2d");

  async function signed({ typedData }: Document, by: HDNodeWallet = signer): Promise<string> {
    const { domain, types, message } = typedData as Typed;
    const { EIP712Domain: _, ...own } = types;
    return await by.signTypedData(domain, own, message);
  }

  async function walletOf(by: HDNodeWallet): Promise<string> {
    return await (await deployZoo(by, "SignatureWallets", "SingleKeyWallet", by.address)).getAddress();
  }

  async function expectRestored(user: CommandUser): Promise<void> {
    expect((await documentOf(user, "phrase")).recoveryPhrase).to.equal(owner.recoveryPhrase);
    const out = join(user.home, "out");
    await documentOf(user, "get", dataId, "-o", out);
    expect(readFileSync(join(out, "files", "letter.txt"), "utf8")).to.equal(content);
  }

  it("comes back by the wallet's signature after the delay, and its rehearsal says what it cannot know", async () => {
    const wallet = await walletOf(signer);
    await protect(wallet);
    const report = await run(owner, ["recover", "--drill", "--wallet"], EXIT.unchecked);
    const checks = report.checks as { check: string; outcome: string; decides: boolean }[];
    expect(checks.find(({ check }) => check === "consent of the wallet")).to.include({
      outcome: "unchecked",
      decides: false,
    });
    expect(checks.find(({ check }) => check === "coins for the transaction")).to.include({ outcome: "unchecked" });

    const device = newcomer("after the wallet");
    const asked = await pending(device, ...claim());
    expect(asked).to.include({ state: "asking", wallet });
    const stranger = HDNodeWallet.createRandom();
    const refused = await errorOf(device, ...claim("--signature", await signed(asked, stranger)));
    expect(refused).to.include({ code: "CHAIN_REVERTED", check: "InvalidSignature" });
    expect(refused.received).to.contain(wallet);
    expect(await pending(device, ...claim("--signature", await signed(asked)))).to.include({ state: "scheduled" });
    expect(await pending(device, ...claim())).to.include({ state: "scheduled" });
    await pass(3601);
    await documentOf(device, ...claim());
    await expectRestored(device);
  });

  it("is vetoed by the owner, and the wallet can ask no more for this version", async () => {
    const wallet = await walletOf(signer);
    await protect(wallet);
    const thief = newcomer("thief");
    const asked = await pending(thief, ...claim());
    expect(await pending(thief, ...claim("--signature", await signed(asked)))).to.include({ state: "scheduled" });
    const { vetoed, failed } = (await documentOf(owner, "recovery", "veto")) as Record<string, Document[]>;
    expect([vetoed?.[0]?.proposer, failed]).to.deep.equal([wallet, []]);
    await pass(DAY);
    expect(await errorOf(thief, ...claim())).to.include({ code: "CONFLICT", check: "veto of the owner" });
    expect(existsSync(join(thief.home, "keystore.json"))).to.equal(false);
  });

  for (const [what, answer] of Object.entries(ODD)) {
    it(`is refused when the wallet ${what}, and costs whoever asks next to nothing`, async () => {
      const wallet = await (await deployZoo(signer, "SignatureWallets", "OddWallet", answer)).getAddress();
      await protect(wallet);
      const device = newcomer(`odd ${answer}`);
      const asked = await pending(device, ...claim());
      const error = await errorOf(device, ...claim("--signature", await signed(asked)));
      expect(error).to.include({ code: "CHAIN_REVERTED", check: "InvalidSignature" });
      expect(error.received).to.contain(wallet);
      // Refused when it was estimated, so that nothing was sent.
      expect(await net.chain.provider.getTransactionCount(String(asked.requester))).to.equal(0);
      expect(await pending(device, ...claim())).to.include({ state: "asking" });
    });
  }

  it("is refused by a wallet that says yes to an estimate and no to the transaction", async () => {
    const wallet = await deployTwoFacedWallet(signer);
    await protect(wallet.address);
    const device = newcomer("two faces");
    const asked = await pending(device, ...claim());
    const signature = await signed(asked);
    expect(await errorOf(device, ...claim("--signature", signature))).to.include({ code: "CHAIN_REVERTED" });
    const { provider } = net.chain;
    const { number, hash } = (await provider.getBlock("latest")) ?? { number: 0, hash: "" };
    const [sent = ""] = (await provider.getBlock(number))?.transactions ?? [];
    const receipt = await provider.getTransactionReceipt(sent);
    expect([receipt?.from, receipt?.status, receipt?.blockHash]).to.deep.equal([asked.requester, 0, hash]);
    expect((receipt?.gasUsed ?? MOST_GAS) < MOST_GAS).to.equal(true);
    await wallet.setHonest(true);
    expect(await pending(device, ...claim("--signature", signature))).to.include({ state: "scheduled" });
  });

  it("comes back by two guardians that are contract wallets, each of which counts once", async () => {
    const second = HDNodeWallet.createRandom().connect(net.chain.provider);
    await net.fund([second.address]);
    const [one, two] = [await walletOf(signer), await walletOf(second)];
    const odd = await (await deployZoo(signer, "SignatureWallets", "OddWallet", ODD["burns its gas"])).getAddress();
    const named = [one, two, odd].flatMap((guardian) => ["--guardian", guardian]);
    await documentOf(owner, "recovery", "protect", ...named, "--threshold", "2", "--guardian-delay", "1h");
    const device = newcomer("after the guardians");
    const asking = ["recover", "--account", owner.account, "--guardians"];
    const { requester, sessionKey } = await pending(device, ...asking);
    // Whoever sends their signatures pays, and is nobody in the plan.
    const relay = await newPerson(net, "relay");
    const approve = (guardian: string, ...rest: string[]) => [
      ...["recovery", "approve", owner.account, "--for", String(requester), "--session", String(sessionKey)],
      ...["--guardian", guardian, ...rest],
    ];

    const opening = await pending(relay, ...approve(one));
    expect(opening).to.include({ guardian: one, isOpening: true });
    const until = ["--deadline", String(opening.deadline)];
    const later = ["--deadline", String(Number(opening.deadline) + 1)];
    const signature = await signed(opening);
    expect(await errorOf(relay, ...approve(one, "--signature", signature, ...later))).to.include({
      code: "CHAIN_REVERTED",
      check: "InvalidSignature",
    });
    expect(await documentOf(relay, ...approve(one, "--signature", signature, ...until))).to.include({
      isOpened: true,
      approvals: 1,
    });
    expect(await errorOf(relay, ...approve(one, "--signature", signature, ...until))).to.include({
      code: "CONFLICT",
      party: `guardian ${one}`,
    });
    const burnt = await pending(relay, ...approve(odd));
    expect(burnt).to.include({ isOpening: false });
    expect(await errorOf(relay, ...approve(odd, "--signature", await signed(burnt)))).to.include({
      code: "CHAIN_REVERTED",
      check: "InvalidSignature",
    });
    // The signature of one guardian is none of another.
    const consent = await pending(relay, ...approve(two));
    expect(await errorOf(relay, ...approve(two, "--signature", await signed(consent)))).to.include({
      check: "InvalidSignature",
    });
    expect(await pending(device, ...asking)).to.include({ state: "collecting" });
    const last = await documentOf(relay, ...approve(two, "--signature", await signed(consent, second)));
    expect(last).to.include({ isOpened: false, approvals: 2 });
    expect(await pending(device, ...asking)).to.include({ state: "scheduled" });
    await pass(3601);
    await documentOf(device, ...asking);
    await expectRestored(device);
  });
});
