/**
 * Hardhat's configuration for mutations of the contracts, see `mutations.ts`: the old code generator without the
 * optimizer compiles in seconds what takes the other one a minute. Its output goes into a folder of its own.
 */
import { defineConfig } from "hardhat/config";
import { solidityProfile, solidityTests } from "../solidity.ts";

const [compiler] = solidityProfile.compilers;
if (compiler === undefined) throw new Error("no compiler in scripts/solidity.ts");
const settings = { ...compiler.settings, viaIR: false, optimizer: { enabled: false } };

export default defineConfig({
  plugins: [],
  solidity: { profiles: { default: { ...compiler, settings } } },
  test: { solidity: solidityTests },
  paths: { artifacts: "cache/mutations/artifacts", cache: "cache/mutations/cache" },
});
