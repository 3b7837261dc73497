/**
 * Hardhat's configuration for measuring coverage. Instrumented contracts are larger and cost more gas than those that are deployed, so
 * they are compiled into a folder of their own, and no TypeChain types are made of them. Without the optimizer they
 * compile faster, and lines stay lines.
 */
import { defineConfig } from "hardhat/config";
import { solidityProfile, solidityTests } from "../solidity.ts";

const settings = { ...solidityProfile.settings, optimizer: { enabled: false } };

export default defineConfig({
  plugins: [],
  solidity: { profiles: { default: { ...solidityProfile, settings } } },
  test: { solidity: solidityTests },
  coverage: { skipFiles: ["contracts/test/**"] },
  paths: { artifacts: "coverage/artifacts", cache: "coverage/cache" },
});
