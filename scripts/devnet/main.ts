/**
 * `npm run devnet`: a whole network on this machine until Ctrl-C. The command line finds it by
 * `.tallystick/devnet.json`.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { RANDOMNESS_KINDS } from "../../offchain/chain/deployment.ts";
import { DEVNET_EPOCH_BLOCKS } from "./epochs.ts";
import { endProcess, liveProcesses, nameProcesses, removePidFile, writePidFile } from "./pid-files.ts";
import { type Devnet, type DevnetOptions, pidFolderOf, startDevnet } from "./start-devnet.ts";

/** Name of the process that runs the network, among its parts. */
const MAIN = "devnet";
const POLL_MILLISECONDS = 250;
const RESTART_SECONDS = 90;
/** End of the name of a request that is being written. */
const PARTIAL = ".partial";
/** Ctrl-C reaches the parts as well as this process: an end that is reported later than this came on its own. */
const ALARM_MILLISECONDS = 1000;

const HELP = `npm run devnet -- [options]            start a network and run it until Ctrl-C
npm run devnet -- stop <name>          end one part and leave the others: node-1, provider, …
npm run devnet -- restart <name>       start a part again, also one that has ended
npm run devnet -- stop                 end the network of this folder, or what is left of one that was killed

  --nodes <n>             key nodes (default 5)
  --threshold <k>         nodes that rebuild a key (default 3)
  --chain <anvil|hardhat> chain to run (default: anvil where it is packaged, else hardhat)
  --randomness <kind>     where challenges come from: block (hashes of blocks), prevrandao, or drand (with a network
                          of one member) (default block)
  --epoch-blocks <n>      blocks from one audit to the next (default ${DEVNET_EPOCH_BLOCKS})
  --block-time <seconds>  seconds between blocks (default 1)
  --allow-origin <origin> origin of a web page that may use the network; may be given more than once
  --dir <folder>          where .tallystick/ is made (default: this folder)

Examples:
  npm run devnet -- --epoch-blocks 15
  npm run devnet -- stop provider
  npm run devnet -- restart provider
`;

function wholeNumber(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new TypeError(`--${name} takes a whole number from 1, not ${text}`);
  return Number(text);
}

interface Options {
  readonly action: "start" | "stop" | "restart";
  /** The part to stop or restart; empty for the whole network. */
  readonly part: string;
  /** The `.tallystick` folder. */
  readonly home: string;
  readonly network: DevnetOptions;
}

function parseOptions(): Options | undefined {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      nodes: { type: "string" },
      threshold: { type: "string" },
      chain: { type: "string" },
      randomness: { type: "string" },
      "epoch-blocks": { type: "string" },
      "block-time": { type: "string" },
      "allow-origin": { type: "string", multiple: true },
      dir: { type: "string", default: "." },
      help: { type: "boolean" },
    },
  });
  if (values.help) return undefined;
  const [action = "start", part = "", ...more] = positionals;
  const isKnown = action === "start" || action === "stop" || action === "restart";
  if (!isKnown) throw new TypeError(`${action} is not a command; use start, stop or restart`);
  if (more.length > 0 || (action === "restart" && part === "") || (action === "start" && part !== "")) {
    throw new TypeError("restart takes the name of one part, stop takes one or none, start takes none");
  }
  if (values.chain !== undefined && values.chain !== "anvil" && values.chain !== "hardhat") {
    throw new TypeError(`--chain takes anvil or hardhat, not ${values.chain}`);
  }
  const randomness = RANDOMNESS_KINDS.find((kind) => kind === (values.randomness ?? "block"));
  if (randomness === undefined) {
    throw new TypeError(`--randomness takes ${RANDOMNESS_KINDS.join(", ")}, not ${values.randomness}`);
  }
  const nodes = wholeNumber(values.nodes, "nodes") ?? 5;
  const threshold = wholeNumber(values.threshold, "threshold") ?? 3;
  if (threshold > nodes) throw new TypeError(`--threshold ${threshold} is more than ${nodes} nodes`);
  const allowed = values["allow-origin"] === undefined ? {} : { allowedOrigins: values["allow-origin"] };
  const home = resolve(values.dir, ".tallystick");
  const network: DevnetOptions = {
    dir: join(home, "devnet"),
    nodes,
    threshold,
    ...(values.chain === undefined ? {} : { chain: values.chain }),
    randomness,
    epochBlocks: wholeNumber(values["epoch-blocks"], "epoch-blocks") ?? DEVNET_EPOCH_BLOCKS,
    blockTimeSeconds: wholeNumber(values["block-time"], "block-time") ?? 1,
    nbmConfig: allowed,
    cspConfig: allowed,
    say: (line) => process.stderr.write(`devnet: ${line}\n`),
  };
  return { action, part, home, network };
}

/**
 * Refuses a second network in one folder, because it would delete the databases of the first.
 * @throws Error naming the processes of the first
 */
function refuseSecond(directory: string): void {
  const live = liveProcesses(pidFolderOf(directory));
  if (live.length === 0) return;
  const main = live.find(({ name }) => name === MAIN);
  throw new Error(
    main === undefined
      ? `parts of a devnet that was killed still run here: ${nameProcesses(live)}; end them with npm run devnet -- stop`
      : `a devnet is running here already (process ${main.pid}): stop it with Ctrl-C in its terminal or with ` +
          "npm run devnet -- stop, or name another folder with --dir",
  );
}

/** Ends the network of a folder: its main process first, which ends the others in order, then whatever is left. */
async function stopDevnet({ home, network }: Options): Promise<void> {
  const pids = pidFolderOf(network.dir);
  const live = liveProcesses(pids);
  const main = live.find(({ name }) => name === MAIN);
  if (main !== undefined) await endProcess(pids, main);
  await Promise.all(liveProcesses(pids).map((one) => endProcess(pids, one)));
  rmSync(join(home, "devnet.json"), { force: true });
  process.stdout.write(live.length === 0 ? "no devnet is running here\n" : `stopped: ${nameProcesses(live)}\n`);
}

/** Asks the running devnet to stop a part or start it again, and waits until it did. @throws Error when it cannot */
async function request(action: "stop" | "restart", { part, network }: Options): Promise<void> {
  const pids = pidFolderOf(network.dir);
  const find = (wanted: string) => liveProcesses(pids).find(({ name }) => name === wanted);
  if (find(MAIN) === undefined) throw new Error("no devnet is running here: start one with npm run devnet");
  if (!existsSync(partsFileOf(network.dir))) throw new Error("the devnet is still starting: wait until it is ready");
  const parts = JSON.parse(readFileSync(partsFileOf(network.dir), "utf8")) as string[];
  if (!parts.includes(part)) {
    const verb = action === "stop" ? "stopped" : "started again";
    throw new Error(`${part} is no part that can be ${verb} alone; those that can: ${parts.join(", ")}`);
  }
  const before = find(part)?.pid;
  const done = action === "stop" ? "stopped" : "started again";
  const file = join(requestsOf(network.dir), part);
  // Renamed, so that the devnet does not read a file that is being written.
  writeFileSync(`${file}${PARTIAL}`, action);
  renameSync(`${file}${PARTIAL}`, file);
  for (const end = Date.now() + RESTART_SECONDS * 1000; existsSync(file); await pause(POLL_MILLISECONDS)) {
    if (Date.now() > end) throw new Error(`${part} was not ${done} within ${RESTART_SECONDS} seconds`);
  }
  const now = find(part);
  const isDone = action === "stop" ? now === undefined : now !== undefined && now.pid !== before;
  if (!isDone) throw new Error(`${part} was not ${done}; see the devnet's output`);
  process.stdout.write(
    now === undefined
      ? `${part} is stopped; npm run devnet -- restart ${part} starts it again\n`
      : `${part} runs again (process ${now.pid})\n`,
  );
}

/** Folder of the requests to this devnet: a file with the name of a part says what shall become of it. */
function requestsOf(directory: string): string {
  return join(directory, "requests");
}

/** Names of the parts that can be started again, for the terminal that asks. */
function partsFileOf(directory: string): string {
  return join(directory, "parts.json");
}

/** Stops parts and starts them again on request, and says when one has ended. @returns what ends the watch */
function watchParts(devnet: Devnet, directory: string, say: (line: string) => void): () => void {
  let isOver = false;
  for (const part of devnet.processes) {
    const remedy =
      part.name === devnet.chain.process.name
        ? "its state is lost: end this devnet and start another one"
        : `start it again with npm run devnet -- restart ${part.name}`;
    part.onUnexpectedEnd(async (reason) => {
      await pause(ALARM_MILLISECONDS);
      if (!isOver) say(`${part.name} ${reason}; its log is ${part.logFile}; ${remedy}`);
    });
  }
  const requests = requestsOf(directory);
  mkdirSync(requests, { recursive: true });
  const restartable = devnet.processes.filter((one) => one !== devnet.chain.process);
  writeFileSync(partsFileOf(directory), JSON.stringify(restartable.map(({ name }) => name)));
  const follow = async (name: string, action: string) => {
    const part = restartable.find((one) => one.name === name);
    if (part === undefined) throw new Error(`there is no part ${name} that can be started again`);
    await part.stop();
    if (action === "stop") {
      say(`${name} was stopped; start it again with npm run devnet -- restart ${name}`);
      return;
    }
    await part.start();
    say(`${name} runs again`);
  };
  let busy = false;
  const timer = setInterval(async () => {
    if (busy || !existsSync(requests)) return;
    busy = true;
    for (const name of readdirSync(requests)) {
      if (name.endsWith(PARTIAL)) continue;
      try {
        await follow(name, readFileSync(join(requests, name), "utf8"));
      } catch (error) {
        say(`error: ${error instanceof Error ? error.message : String(error)}`);
      }
      rmSync(join(requests, name), { force: true });
    }
    busy = false;
  }, POLL_MILLISECONDS);
  return () => {
    isOver = true;
    clearInterval(timer);
  };
}

async function main(): Promise<void> {
  const options = parseOptions();
  if (options === undefined) {
    process.stdout.write(HELP);
    return;
  }
  if (options.action !== "start" && options.part !== "") return await request(options.action, options);
  if (options.action === "stop") return await stopDevnet(options);
  const directory = options.network.dir;
  const pointer = join(options.home, "devnet.json");
  refuseSecond(directory);
  // The chain is in memory, so state that daemons kept of an earlier chain is useless.
  rmSync(directory, { recursive: true, force: true });
  // The command line ignores files that others could have written.
  mkdirSync(options.home, { recursive: true });
  chmodSync(options.home, 0o700);
  mkdirSync(directory, { recursive: true });
  writePidFile(pidFolderOf(directory), MAIN, process.pid, ["devnet/main.ts", ...process.argv.slice(2)].join(" "));
  // Left behind by a network that was killed: no command may find it while this one starts.
  rmSync(pointer, { force: true });
  const devnet = await startDevnet(options.network);
  writeFileSync(`${pointer}.partial`, `${JSON.stringify(devnet.deployment, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${pointer}.partial`, pointer);

  process.stdout.write(
    [
      "ready",
      `  chain     ${devnet.deployment.rpcUrl} (chain id ${devnet.deployment.chainId})`,
      ...devnet.nodes.map((node) => `  ${node.name}    ${node.url}`),
      `  provider  ${devnet.provider.url}`,
      `  written   ${pointer}`,
      `  logs      ${join(directory, "logs")}`,
      "",
      "In another terminal, in this folder:",
      "  npx tallystick init",
      "  npx tallystick put README.md",
      "",
      "Ctrl-C stops everything.",
      "",
    ].join("\n"),
  );
  const endWatch = watchParts(devnet, directory, options.network.say ?? (() => undefined));
  const ended = await new Promise<string>((done) => {
    // Handlers stay: a terminal sends Ctrl-C to the whole group, and the launcher passes it on once more.
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => done(signal));
  });
  process.stderr.write(`devnet: ${ended}, stopping…\n`);
  endWatch();
  rmSync(pointer, { force: true });
  await devnet.stop();
  removePidFile(pidFolderOf(directory), MAIN);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`devnet: error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
