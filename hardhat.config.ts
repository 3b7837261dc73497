import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import hardhatToolboxMochaEthers from "@nomicfoundation/hardhat-toolbox-mocha-ethers";
import { configVariable, defineConfig } from "hardhat/config";
import { tallystickTasks } from "./scripts/tasks/index.ts";

const require = createRequire(import.meta.url);

/** The chain of the deployment in use (a devnet takes a free port and writes it down); without one, where Hardhat's own node listens. */
function localUrl(): string {
  const devnet = fileURLToPath(new URL(".tallystick/devnet.json", import.meta.url));
  const file = process.env.TALLYSTICK_DEPLOYMENT ?? devnet;
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).rpcUrl : "http://127.0.0.1:8545";
}

export default defineConfig({
  plugins: [hardhatToolboxMochaEthers],
  tasks: tallystickTasks,
  solidity: {
    profiles: {
      default: {
        version: "0.8.37",
        // The compiler is the npm package, so that nothing is downloaded but packages.
        path: require.resolve("solc/soljson.js"),
        settings: {
          evmVersion: "prague",
          viaIR: true,
          optimizer: { enabled: true, runs: 20_000 },
        },
      },
    },
  },
  // Generated files use namespaces, which only type checking with `erasableSyntaxOnly` minds: they hold types alone.
  typechain: { outDir: "offchain/chain/types", tsNocheck: true },
  // Enough to reach every state of the contracts many times; the defaults (256 × 500 calls) take minutes per contract.
  test: { solidity: { fuzz: { runs: 256 }, invariant: { runs: 32, depth: 128 } } },
  networks: {
    localhost: { type: "http", chainType: "l1", url: localUrl() },
    sepolia: {
      type: "http",
      chainType: "l1",
      url: configVariable("SEPOLIA_RPC_URL"),
      accounts: [configVariable("SEPOLIA_PRIVATE_KEY")],
    },
  },
  verify: { etherscan: { apiKey: configVariable("ETHERSCAN_API_KEY") } },
});
