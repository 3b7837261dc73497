/**
 * Hardhat's configuration for measuring coverage. Instrumented contracts are larger and cost more gas than those that
 * are deployed, so they are compiled into a folder of their own, and no TypeChain types are made of them. The old code
 * generator takes ten seconds where the new one takes three minutes; the TypeScript tests run what is deployed.
 */
import { defineConfig } from "hardhat/config";
import { solidityProfile, solidityTests } from "../solidity.ts";

const settings = { ...solidityProfile.settings, viaIR: false, optimizer: { enabled: false } };

export default defineConfig({
  plugins: [],
  solidity: { profiles: { default: { ...solidityProfile, settings } } },
  test: { solidity: solidityTests },
  coverage: { skipFiles: ["contracts/test/**"] },
  paths: { artifacts: "coverage/artifacts", cache: "coverage/cache" },
});
