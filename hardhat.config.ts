import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import hardhatToolboxMochaEthers from "@nomicfoundation/hardhat-toolbox-mocha-ethers";
import { configVariable, defineConfig } from "hardhat/config";
import { tallystick } from "./offchain/hardhat/index.ts";
import { productTypesPlugin } from "./scripts/product-types.ts";
import { solidityProfile, solidityTests } from "./scripts/solidity.ts";

/**
 * The chain of the deployment in use (a devnet takes a free port and writes it down); without one, where Hardhat's own
 * node listens.
 */
function localUrl(): string {
  const devnet = fileURLToPath(new URL(".tallystick/devnet.json", import.meta.url));
  const file = process.env.TALLYSTICK_DEPLOYMENT ?? devnet;
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).rpcUrl : "http://127.0.0.1:8545";
}

export default defineConfig({
  plugins: [hardhatToolboxMochaEthers, productTypesPlugin, tallystick],
  // Ignition deploys and verifies the production profile. It must give the bytecode that the tests run, so its sources
  // are compiled together as well: Hardhat would compile each alone, which changes the metadata hash in the bytecode
  // and with it the generated types.
  solidity: { profiles: { default: solidityProfile, production: { ...solidityProfile, isolated: false } } },
  // Generated files use namespaces, which only type checking with `erasableSyntaxOnly` minds: they hold types alone.
  typechain: { outDir: "cache/typechain", tsNocheck: true },
  test: { solidity: solidityTests },
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
