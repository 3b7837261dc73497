/**
 * `npx hardhat tallystick deployment`: after `npx hardhat ignition deploy`, writes the file by which agents and daemons
 * find the contracts.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";
import { connectChain, type Deployment, parseDeployment, RANDOMNESS_KINDS } from "../../chain/deployment.ts";
import { withCommitteeKeys } from "../../chain/group-keys.ts";
import { deployedRandomness } from "../../chain/randomness-kind.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { QUICKNET, QUICKNET_RELAYS } from "../../core/randomness/quicknet.ts";
import { RANDOMNESS_CONTRACTS } from "../deployment-steps.ts";
import { print } from "./session.ts";

interface DeploymentTaskOptions {
  readonly out: string;
  readonly provider: string;
  readonly committee: string;
  readonly drandChainHash: string;
  readonly drandRelays: string;
}

function parseProviders(text: string): { account: string; url: string }[] {
  return text
    .split(",")
    .filter((part) => part !== "")
    .map((part) => {
      const [, account, url] = /^(0x[0-9a-fA-F]{40})@(https?:\/\/\S+)$/.exec(part) ?? [];
      if (account !== undefined && url !== undefined) return { account, url };
      throw new InvalidInputError("--provider is malformed", { party: "you", expected: "account@url", received: part });
    });
}

/** Of quicknet, unless another network is named. @throws InvalidInputError for another one without relays */
function drandPlace({ drandChainHash, drandRelays }: DeploymentTaskOptions): { chainHash: string; relays: string[] } {
  const chainHash = drandChainHash === "" ? QUICKNET.chainHash : drandChainHash;
  const relays = drandRelays.split(",").filter((part) => part !== "");
  if (relays.length > 0) return { chainHash, relays };
  if (chainHash === QUICKNET.chainHash) return { chainHash, relays: [...QUICKNET_RELAYS] };
  throw new InvalidInputError("--drand-relays is missing", {
    party: "you",
    expected: "URLs of relays of this network, separated by commas",
  });
}

async function readIgnition(directory: string, name: string): Promise<string> {
  try {
    return await readFile(join(directory, name), "utf8");
  } catch (cause) {
    throw new TallystickError(
      `Ignition has not deployed to this chain from here: ${join(directory, name)} is missing`,
      {
        code: "NO_DEPLOYMENT",
        check: "Ignition journal",
        hint: "deploy with `npx hardhat ignition deploy <module file> --network <name>` first",
        cause,
      },
    );
  }
}

/** The earliest block of the journal's receipts: no event of the contracts is older. */
function firstBlock(journal: string): number {
  const blocks = [...journal.matchAll(/"blockNumber":(\d+)/g)].map((match) => Number(match[1]));
  return blocks.length === 0 ? 0 : Math.min(...blocks);
}

export default async function writeDeployment(
  options: DeploymentTaskOptions,
  hre: HardhatRuntimeEnvironment,
): Promise<void> {
  const connection = await hre.network.create();
  const { networkConfig } = connection;
  if (networkConfig.type !== "http") {
    throw new InvalidInputError("an in-process network ends with this command", {
      hint: "name a network with --network",
    });
  }
  const chainId = Number(await connection.provider.request({ method: "eth_chainId" }));
  // Ignition's plugin adds the path to the configuration; its journal may be there without the plugin.
  const { root, ignition = join(root, "ignition") }: { root: string; ignition?: string } = hre.config.paths;
  const directory = join(ignition, "deployments", `chain-${chainId}`);
  const addresses: Record<string, string> = JSON.parse(await readIgnition(directory, "deployed_addresses.json"));
  const address = (name: string) => (addresses[`Tallystick#${name}`] ?? "").toLowerCase();
  const kind = RANDOMNESS_KINDS.find((one) => address(RANDOMNESS_CONTRACTS[one]) !== "") ?? "block";
  const deployment = parseDeployment({
    version: 1,
    chainId,
    rpcUrl: await networkConfig.url.getUrl(),
    contracts: {
      nodeRegistry: address("NodeRegistry"),
      keyLedger: address("KeyLedger"),
      storageEscrow: address("StorageEscrow"),
      possessionVerifier: address("PossessionVerifier"),
      randomness: address(RANDOMNESS_CONTRACTS[kind]),
      accountDirectory: address("AccountDirectory"),
      ownersPolicy: address("OwnersPolicy"),
      recoveryPolicy: address("RecoveryPolicy"),
    },
    randomness: kind === "drand" ? { kind, ...drandPlace(options) } : { kind },
    deployedAtBlock: firstBlock(await readIgnition(directory, "journal.jsonl")),
    committeeId: options.committee,
    providers: parseProviders(options.provider),
  });
  await connection.close();
  const chain = await connectChain(deployment);
  let written: Deployment;
  try {
    await deployedRandomness(chain);
    written = await withCommitteeKeys(chain);
  } finally {
    chain.close();
  }
  await writeFile(options.out, `${JSON.stringify(written, null, 2)}\n`);
  print({ written: options.out, ...written });
}
