/**
 * Stores files from a page and fetches them again. The identity and the list of files are in the storage of the page's
 * origin.
 */
import {
  type Agent,
  createIdentity,
  type Deployment,
  type Eip1193Provider,
  eip1193Signer,
  giveDevelopmentFunds,
  hasIdentity,
  identityOpeners,
  loadIdentity,
  openAgent,
  parseDeployment,
} from "tallystick";
import { TallystickError } from "tallystick/core/errors";
import { type KeystoreKey, openByWallet, setUpWallet } from "tallystick/core/identity";

declare global {
  interface Window {
    /** The wallet of the browser, where one is installed (EIP-1193). */
    readonly ethereum?: Eip1193Provider;
  }
}

const STORE = "main";

function element<Kind extends HTMLElement>(selector: string, kind: new () => Kind): Kind {
  const found = document.querySelector(selector);
  if (!(found instanceof kind)) throw new TypeError(`the page has no ${selector}`);
  return found;
}

const status = element("#status", HTMLOutputElement);

function say(text: string, failed = false): void {
  status.textContent = text;
  status.classList.toggle("failed", failed);
}

/** Runs what a person asked for, and shows how it went. */
async function attempt(work: () => Promise<string>): Promise<void> {
  try {
    say(await work());
  } catch (error) {
    if (!(error instanceof TallystickError)) console.error(error);
    const hint = error instanceof TallystickError && error.hint !== undefined ? ` (${error.hint})` : "";
    say(`${error instanceof Error ? error.message : String(error)}${hint}`, true);
  }
}

/** The passphrase, or the signature of the wallet, whichever was chosen. */
async function keyFrom(form: FormData): Promise<KeystoreKey> {
  if (form.get("by") !== "wallet") return String(form.get("passphrase"));
  if (window.ethereum === undefined) throw new TypeError("this browser has no wallet");
  const wallet = eip1193Signer(window.ethereum);
  if (await hasIdentity(STORE)) return await openByWallet((await identityOpeners(STORE)).wallets, wallet);
  say("sign twice in the wallet: both signatures have to be the same");
  return await setUpWallet(wallet);
}

interface Opened {
  readonly agent: Agent;
  readonly deployment: Deployment;
  /** Kept for a rotation: the new identity opens by it too. */
  readonly key: KeystoreKey;
}

async function open(form: FormData): Promise<Opened> {
  const deployment = parseDeployment(await (await fetch("deployment.json")).json());
  const key = await keyFrom(form);
  if (await hasIdentity(STORE)) {
    const identity = await loadIdentity(STORE, key);
    return { agent: await openAgent({ identity, deployment, name: STORE }), deployment, key };
  }
  const phrase = String(form.get("phrase"));
  const created = await createIdentity(STORE, key, phrase === "" ? undefined : phrase);
  // Without it, a browser that is short of space may remove the keystore and the list.
  await navigator.storage.persist();
  await giveDevelopmentFunds(deployment, created.identity.account);
  if (created.phrase !== undefined) {
    element("#new-phrase strong", HTMLElement).textContent = created.phrase;
    element("#new-phrase", HTMLElement).hidden = false;
  }
  const agent = await openAgent({ identity: created.identity, deployment, name: STORE });
  // The files that the identity has stored from other devices.
  if (created.phrase === undefined) await agent.recover();
  return { agent, deployment, key };
}

/**
 * Shows the phrase of the new identity and what the rotation comes to; the form that appears carries it out. After a
 * reload at any moment it is the same phrase, and the rotation goes on.
 */
async function prepareRotation({ agent, deployment, key }: Opened): Promise<string> {
  const { openRotation, phraseOf, planPageRotation, rotatePage } = await import("tallystick/browser/rotation");
  say("preparing the rotation");
  const [old, next] = [await loadIdentity(STORE, key), await openRotation(STORE, key)];
  const rotation = { name: STORE, deployment, old, next };
  await giveDevelopmentFunds(deployment, next.account);
  const plan = await planPageRotation(rotation);
  element("#rotation strong", HTMLElement).textContent = phraseOf(next);
  element("#rotation-plan", HTMLElement).textContent =
    `${plan.account} will be replaced by ${plan.successor}; ${plan.dataSets.length} data sets go on, ` +
    `${plan.left.length} stay; gas at most ${plan.gasFee} wei`;
  element("#files", HTMLElement).querySelector("#put")?.toggleAttribute("hidden", true);
  element("#rotate", HTMLButtonElement).hidden = true;
  element("#rotation", HTMLFormElement).hidden = false;
  let isOpen = true;
  onSubmit("#rotation", async (form) => {
    if (String(form.get("words")).trim().toLowerCase() !== phraseOf(next)) return "these are other words";
    say("replacing the identity");
    // Nothing else may write into the store meanwhile.
    if (isOpen) await agent.close();
    isOpen = false;
    const { successor } = await rotatePage(rotation, { onStep: (step) => say(`rotate: ${step}`) });
    old.wipe();
    next.wipe();
    element("#files", HTMLElement).hidden = true;
    return `replaced by ${successor}: reload the page`;
  });
  return "confirm the new words";
}

async function store(agent: Agent, form: FormData): Promise<string> {
  const file = form.get("file");
  if (!(file instanceof File)) throw new TypeError("no file was chosen");
  const { dataId, storedBytes, uploadedBytes, dataSets } = await agent.put([file], {
    dataSet: form.has("kept") ? {} : false,
    onProgress: (progress) => say(`${progress.operation}: ${progress.phase}`),
  });
  await showList(agent);
  return `stored ${dataId}: ${storedBytes} bytes, ${uploadedBytes} uploaded, ${dataSets.length} data sets`;
}

/** Fetches the file into a blob, which the browser may keep on disk, and offers it as a download. */
async function fetchFile(agent: Agent, dataId: string, name: string): Promise<string> {
  say("get");
  const blob = await new Response(await agent.getStream(dataId)).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return `fetched ${dataId}: ${blob.size} bytes`;
}

async function showList(agent: Agent): Promise<void> {
  const items = (await agent.list()).map(({ dataId, name, totalBytes }) => {
    const button = document.createElement("button");
    button.textContent = "Fetch";
    button.addEventListener("click", () => void attempt(() => fetchFile(agent, dataId, name)));
    const item = document.createElement("li");
    item.append(`${name}, ${totalBytes} bytes `, button);
    item.dataset.dataId = dataId;
    return item;
  });
  element("#list", HTMLUListElement).replaceChildren(...items);
}

function onSubmit(selector: string, work: (form: FormData) => Promise<string>): void {
  element(selector, HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    void attempt(() => work(new FormData(element(selector, HTMLFormElement), event.submitter)));
  });
}

onSubmit("#identity", async (form) => {
  say("opening the identity");
  const opened = await open(form);
  const { agent } = opened;
  element("#account", HTMLElement).textContent = agent.account;
  await showList(agent);
  element("#identity", HTMLFormElement).hidden = true;
  element("#files", HTMLElement).hidden = false;
  onSubmit("#put", (put) => store(agent, put));
  element("#rotate", HTMLButtonElement).addEventListener("click", () => void attempt(() => prepareRotation(opened)));
  return "ready";
});
