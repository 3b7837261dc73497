/**
 * `npm run devnet`: a whole network on this machine until Ctrl-C. The command line finds it by `.tallystick/devnet.json`.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { connectChain, parseDeployment } from "../../offchain/chain/deployment.ts";
import { type DevnetOptions, startDevnet } from "./start-devnet.ts";

const HELP = `npm run devnet -- [options]

  --nodes <n>             key nodes (default 5)
  --threshold <k>         nodes that rebuild a key (default 3)
  --chain <anvil|hardhat> chain to run (default: anvil where it is packaged, else hardhat)
  --epoch-blocks <n>      blocks from one audit to the next (default 30)
  --block-time <seconds>  seconds between blocks (default 1)
  --dir <folder>          where .tallystick/ is made (default: this folder)

Example: npm run devnet -- --epoch-blocks 15
`;

function wholeNumber(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new TypeError(`--${name} takes a whole number from 1, not ${text}`);
  return Number(text);
}

interface Options {
  /** The `.tallystick` folder. */
  readonly home: string;
  readonly network: DevnetOptions;
}

function parseOptions(): Options | undefined {
  const { values } = parseArgs({
    options: {
      nodes: { type: "string" },
      threshold: { type: "string" },
      chain: { type: "string" },
      "epoch-blocks": { type: "string" },
      "block-time": { type: "string" },
      dir: { type: "string", default: "." },
      help: { type: "boolean" },
    },
  });
  if (values.help) return undefined;
  if (values.chain !== undefined && values.chain !== "anvil" && values.chain !== "hardhat") {
    throw new TypeError(`--chain takes anvil or hardhat, not ${values.chain}`);
  }
  const nodes = wholeNumber(values.nodes, "nodes") ?? 5;
  const threshold = wholeNumber(values.threshold, "threshold") ?? 3;
  if (threshold > nodes) throw new TypeError(`--threshold ${threshold} is more than ${nodes} nodes`);
  const home = resolve(values.dir, ".tallystick");
  const network: DevnetOptions = {
    dir: join(home, "devnet"),
    nodes,
    threshold,
    ...(values.chain === undefined ? {} : { chain: values.chain }),
    epochBlocks: wholeNumber(values["epoch-blocks"], "epoch-blocks") ?? 30,
    blockTimeSeconds: wholeNumber(values["block-time"], "block-time") ?? 1,
    say: (line) => process.stderr.write(`devnet: ${line}\n`),
  };
  return { home, network };
}

/** Two networks in one folder would delete each other's databases. @throws Error when an earlier one still answers */
async function refuseSecond(pointer: string): Promise<void> {
  if (!existsSync(pointer)) return;
  try {
    const deployment = parseDeployment(JSON.parse(readFileSync(pointer, "utf8")));
    (await connectChain(deployment, { requestTimeoutSeconds: 5 })).close();
  } catch {
    // Left behind by one that was killed: nothing answers there any more, or something else does.
    return;
  }
  throw new Error(`a devnet is running here already (${pointer}): stop it, or name another folder with --dir`);
}

async function main(): Promise<void> {
  const options = parseOptions();
  if (options === undefined) {
    process.stdout.write(HELP);
    return;
  }
  const directory = options.network.dir;
  const pointer = join(options.home, "devnet.json");
  await refuseSecond(pointer);
  // The chain lives in memory, so what daemons kept of an earlier one fits nothing any more.
  rmSync(directory, { recursive: true, force: true });
  // The command line passes over files that others could have written.
  mkdirSync(options.home, { recursive: true });
  chmodSync(options.home, 0o700);
  mkdirSync(directory, { recursive: true });
  // Left behind by a network that was killed: nobody may find it while this one starts.
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
      "  npx tallystick put README.md --epochs 99",
      "",
      "Ctrl-C stops everything.",
      "",
    ].join("\n"),
  );
  const ended = await new Promise<string>((done) => {
    // Handlers stay: a terminal sends Ctrl-C to the whole group, and the launcher passes it on once more.
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => done(signal));
  });
  process.stderr.write(`devnet: ${ended}, stopping…\n`);
  rmSync(pointer, { force: true });
  await devnet.stop();
}

try {
  await main();
} catch (error) {
  process.stderr.write(`devnet: error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
