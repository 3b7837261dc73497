/**
 * The agent in a page: `examples/page` with the packed package, in headless Chromium, against a network of its own
 * whose daemons allow the page's origin. The page is served with a strict Content-Security-Policy.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect } from "chai";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { randomBytes } from "#primitives";
import { packPackage } from "../../scripts/check/package.ts";
import { freePorts } from "../../scripts/devnet/managed-process.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { escrowEvents, ledgerEvents } from "../helpers/on-chain.ts";

const ROOT = resolve(import.meta.dirname, "..", "..");
const CHROMIUM = "/usr/bin/chromium";
const CHROMIUM_FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];
const SETUP_MILLISECONDS = 600_000;
const FILE_BYTES = 3 * 1024 * 1024 + 12_345;
const PASSPHRASE = "a passphrase of a page";

describe("the agent in a page", () => {
  let folder: string;
  let net: LocalNet;
  let origin: string;
  let server: ChildProcess;
  let context: BrowserContext;
  let page: Page;
  /** What the browser complains about: errors of scripts, refusals by the policy. */
  const complaints: string[] = [];
  const content = randomBytes(FILE_BYTES);

  function succeeds(cwd: string, command: string, ...args: string[]): void {
    const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: "utf8" });
    expect(status, `${command} ${args.join(" ")}: ${error?.message ?? ""}${stdout}${stderr}`).to.equal(0);
  }

  /** @param profile folder of what the browser keeps; a new one is a new device */
  async function openBrowser(profile: string): Promise<void> {
    context = await chromium.launchPersistentContext(join(folder, profile), {
      executablePath: CHROMIUM,
      args: CHROMIUM_FLAGS,
      acceptDownloads: true,
    });
    page = await openTab();
  }

  async function openTab(): Promise<Page> {
    const tab = await context.newPage();
    tab.on("pageerror", (error) => complaints.push(error.message));
    tab.on("console", (message) => {
      // Answers with an error status are the agent's to handle; the browser mentions each.
      const isAnswer = message.text().startsWith("Failed to load resource");
      if (message.type() === "error" && !isAnswer) complaints.push(message.text());
    });
    await tab.goto(origin);
    return tab;
  }

  /** Waits until the page says so. @returns the line; a failure that the page shows fails the test */
  async function said(tab: Page, pattern: RegExp, seconds = 60): Promise<string> {
    const shown = tab.locator("#status");
    for (const end = Date.now() + seconds * 1000; ; await tab.waitForTimeout(50)) {
      // The page may go on between the two: then the next turn sees both.
      const failed = (await shown.getAttribute("class")) === "failed";
      const text = (await shown.textContent()) ?? "";
      if (!failed && pattern.test(text)) return text;
      if (failed || Date.now() > end) throw new Error(`the page says: ${text}; and: ${complaints.join("; ")}`);
    }
  }

  /** What the page says in the place of success. */
  async function failureOf(work: () => Promise<unknown>): Promise<string> {
    return await work().then(
      () => "no failure",
      (error: Error) => error.message,
    );
  }

  /** @returns the account */
  async function openIdentity(tab: Page, phrase = ""): Promise<string> {
    await tab.fill("input[name=passphrase]", PASSPHRASE);
    await tab.fill("input[name=phrase]", phrase);
    await tab.click("#identity button");
    await said(tab, /^ready$/);
    return (await tab.textContent("#account")) ?? "";
  }

  async function put(
    tab: Page,
    isKept: boolean,
  ): Promise<{ dataId: string; storedBytes: number; uploadedBytes: number }> {
    await tab.setInputFiles("input[name=file]", join(folder, "film.bin"));
    await tab.setChecked("input[name=kept]", isKept);
    await tab.click("#put button");
    const line = await said(tab, new RegExp(`^stored .* ${isKept ? 1 : 0} data sets$`), 240);
    const [, dataId = "", stored, uploaded] = /^stored (\S+): (\d+) bytes, (\d+) uploaded/.exec(line) ?? [];
    return { dataId, storedBytes: Number(stored), uploadedBytes: Number(uploaded) };
  }

  async function fetchBytes(dataId: string): Promise<Uint8Array> {
    const [download] = await Promise.all([
      page.waitForEvent("download", { timeout: 60_000 }),
      page.click(`[data-data-id=${dataId}] button`),
    ]);
    expect(download.suggestedFilename()).to.equal("film.bin");
    return readFileSync(await download.path());
  }

  async function listed(): Promise<string[]> {
    return await page.locator("#list li").allTextContents();
  }

  before(async function () {
    this.timeout(SETUP_MILLISECONDS);
    expect(existsSync(CHROMIUM), `this test needs ${CHROMIUM}: .ci/run installs it`).to.equal(true);
    folder = mkdtempSync(join(tmpdir(), "tallystick-page-"));
    const [port] = (await freePorts(1)) as [number];
    origin = `http://127.0.0.1:${port}`;
    const allowing = { allowedOrigins: [origin] };
    net = await startLocalNet({ ...SMALL_COMMITTEE, nbmConfig: allowing, cspConfig: allowing });

    cpSync(join(ROOT, "examples", "page"), folder, { recursive: true });
    const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    manifest.dependencies.tallystick = `file:${packPackage(ROOT, folder)}`;
    writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
    succeeds(folder, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline");
    succeeds(folder, "npm", "run", "build");
    writeFileSync(join(folder, "film.bin"), content);
    server = spawn(process.execPath, ["serve.mjs"], {
      cwd: folder,
      env: { ...process.env, PORT: String(port), TALLYSTICK_DEPLOYMENT: net.deploymentFile },
      stdio: ["ignore", "pipe", "inherit"],
    });
    if (server.stdout !== null) await once(server.stdout, "data");
    await openBrowser("profile");
  });
  after(async () => {
    await context?.close();
    server?.kill();
    await net?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  let account: string;
  let phrase: string;
  let dataId: string;

  it("has types that a strict page accepts", () => {
    succeeds(folder, process.execPath, join(ROOT, "node_modules", "typescript", "bin", "tsc"), "-p", ".");
  });

  it("makes an identity and shows its phrase once", async () => {
    account = await openIdentity(page);
    expect(account).to.match(/^0x[0-9a-fA-F]{40}$/);
    phrase = (await page.textContent("#new-phrase strong")) ?? "";
    expect(phrase.split(" ")).to.have.length(24);
    expect(await listed()).to.deep.equal([]);
  });

  it("stores a file, in a data set", async () => {
    const stored = await put(page, true);
    dataId = stored.dataId;
    expect(dataId).to.match(/^bafkrei/);
    expect(stored.storedBytes).to.be.greaterThan(FILE_BYTES);
    expect(stored.uploadedBytes).to.equal(stored.storedBytes);
    expect(await listed()).to.deep.equal([`film.bin, ${FILE_BYTES} bytes Fetch`]);
  });

  it("uploads nothing when the same file is stored again", async () => {
    expect(await put(page, false)).to.deep.include({ dataId, uploadedBytes: 0 });
  });

  it("has identity, list and file after a reload, and after the browser was closed", async () => {
    await page.reload();
    expect(await openIdentity(page)).to.equal(account);
    expect(await page.isVisible("#new-phrase")).to.equal(false);
    expect(await listed()).to.deep.equal([`film.bin, ${FILE_BYTES} bytes Fetch`]);
    expect(Buffer.compare(await fetchBytes(dataId), content)).to.equal(0);

    await context.close();
    await openBrowser("profile");
    expect(await openIdentity(page)).to.equal(account);
    expect(Buffer.compare(await fetchBytes(dataId), content)).to.equal(0);
  });

  it("makes one record, and appends to one data set, when two tabs store the same file at the same time", async () => {
    writeFileSync(join(folder, "film.bin"), content.subarray(0, 500_000));
    const other = await openTab();
    expect(await openIdentity(other)).to.equal(account);
    const [first, second] = await Promise.all([put(page, true), put(other, true)]);
    expect(first.dataId).to.equal(second.dataId).and.not.equal(dataId);
    // With those of the first file.
    const recorded = (await ledgerEvents(net)).filter(({ kind }) => kind === "KeyRecorded");
    const events = await escrowEvents(net);
    const count = (kind: string) => events.filter((event) => event.kind === kind).length;
    expect([recorded.length, count("DataSetOpened"), count("Deposited")]).to.deep.equal([2, 1, 1]);
    await other.close();
  });

  it("refuses a wrong passphrase", async () => {
    await page.reload();
    await page.fill("input[name=passphrase]", "another passphrase");
    await page.click("#identity button");
    expect(await failureOf(async () => await said(page, /^ready$/))).to.match(/does not open with this passphrase/);
  });

  it("brings list and file to another browser by the recovery phrase alone", async () => {
    await context.close();
    await openBrowser("another profile");
    expect(await openIdentity(page, phrase)).to.equal(account);
    expect(await listed()).to.have.members([`film.bin, ${FILE_BYTES} bytes Fetch`, "film.bin, 500000 bytes Fetch"]);
    expect(Buffer.compare(await fetchBytes(dataId), content)).to.equal(0);
  });

  it("rotates the identity: new words, confirmed, the same after a reload, and the old ones are refused", async () => {
    const offered = async () => {
      await page.click("#rotate");
      await said(page, /^confirm the new words$/);
      return (await page.textContent("#rotation strong")) ?? "";
    };
    const words = await offered();
    expect(words.split(" ")).to.have.length(24);
    await page.reload();
    expect(await openIdentity(page)).to.equal(account);
    expect(await offered()).to.equal(words);
    const confirm = async (typed: string) => {
      await page.fill("input[name=words]", typed);
      await page.click("#rotation button");
    };
    await confirm(phrase);
    await said(page, /^these are other words$/);
    await confirm(words);
    const [, successor] = /^replaced by (\S+):/.exec(await said(page, /^replaced by/, 240)) ?? [];
    await page.reload();
    const own = await openIdentity(page);
    expect(own).to.equal(successor).and.not.equal(account);
    expect(Buffer.compare(await fetchBytes(dataId), content)).to.equal(0);

    await context.close();
    await openBrowser("profile of the thief");
    expect(await openIdentity(page, phrase)).to.equal(account);
    // Neither nodes nor provider open a session for the old key, so nothing comes back.
    expect(await listed()).to.deep.equal([]);
  });

  it("opens with the wallet of the browser, in place of a passphrase, and says what the wallet refuses", async () => {
    await context.close();
    await openBrowser("profile with a wallet");
    let refusal: { code: number; message: string } | undefined;
    // What a wallet's extension does: it puts a provider into the page, and asks the node of the chain to sign.
    await page.exposeFunction("askWallet", async (method: string, params: unknown[]) => {
      if (refusal !== undefined) return { error: refusal };
      const request = {
        jsonrpc: "2.0",
        id: 1,
        method: method === "eth_requestAccounts" ? "eth_accounts" : method,
        params,
      };
      const headers = { "content-type": "application/json" };
      const answer = await fetch(net.deployment.rpcUrl, { method: "POST", headers, body: JSON.stringify(request) });
      return await answer.json();
    });
    await page.addInitScript({
      content: `window.ethereum = {
        request: async ({ method, params }) => {
          const { result, error } = await window.askWallet(method, params);
          if (error !== undefined) throw Object.assign(new Error(error.message), { code: error.code });
          return result;
        },
      };`,
    });
    const openByWallet = async () => {
      await page.reload();
      await page.click("#identity button[value=wallet]");
      await said(page, /^ready$/);
      return await page.textContent("#account");
    };
    const own = await openByWallet();
    expect(own).to.match(/^0x[0-9a-fA-F]{40}$/);
    expect(await page.isVisible("#new-phrase")).to.equal(true);
    expect(await openByWallet()).to.equal(own);
    expect(await page.isVisible("#new-phrase")).to.equal(false);
    for (const [code, words] of [
      [4001, /refused in the wallet/],
      [4900, /the wallet is disconnected/],
    ] as const) {
      refusal = { code, message: "from the wallet" };
      expect(await failureOf(openByWallet)).to.match(words);
    }
    refusal = undefined;
    await page.reload();
    await page.fill("input[name=passphrase]", PASSPHRASE);
    await page.click("#identity button");
    expect(await failureOf(async () => await said(page, /^ready$/))).to.match(/does not open with a passphrase/);
  });

  it("does all this under its Content-Security-Policy, without an error of a script", () => {
    expect(complaints).to.deep.equal([]);
  });
});
