/**
 * Hardhat's configuration for measuring coverage. Instrumented contracts are larger and cost more gas than those that
 * are deployed, so they are compiled into a folder of their own, and no TypeChain types are made of them. The old code
 * generator takes seconds where the new one takes three minutes; the TypeScript tests run what is deployed. The
 * optimizer is on because OpenZeppelin's P256, which a wallet of the tests uses, is too deep for the stack without it.
 */
import { defineConfig } from "hardhat/config";
import { solidityProfile, solidityTests } from "../solidity.ts";

const [compiler] = solidityProfile.compilers;
if (compiler === undefined) throw new Error("no compiler in scripts/solidity.ts");
const coverageCompiler = { ...compiler, settings: { ...compiler.settings, viaIR: false } };

export default defineConfig({
  plugins: [],
  solidity: { profiles: { default: coverageCompiler } },
  test: { solidity: solidityTests },
  coverage: { skipFiles: ["contracts/test/**"] },
  paths: { artifacts: "coverage/artifacts", cache: "coverage/cache" },
});
