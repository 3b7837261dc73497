/**
 * Hardhat's configuration for measuring coverage. Instrumented contracts are larger and cost more gas than those that are deployed, so
 * they are compiled into a folder of their own, and no TypeChain types are made of them. Without the optimizer they
 * compile faster, and lines stay lines.
 */
import { defineConfig } from "hardhat/config";
import project from "../../hardhat.config.ts";

const profile = (project.solidity as { profiles: { default: { version: string; path: string; settings: object } } })
  .profiles.default;

export default defineConfig({
  plugins: [],
  solidity: { profiles: { default: { ...profile, settings: { ...profile.settings, optimizer: { enabled: false } } } } },
  ...(project.test === undefined ? {} : { test: project.test }),
  coverage: { skipFiles: ["contracts/test/**"] },
  paths: { artifacts: "coverage/artifacts", cache: "coverage/cache" },
});
