/** How contracts are compiled and tested, for Hardhat's own configuration and for the one that measures coverage. */
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

export const solidityProfile = {
  version: "0.8.37",
  // The compiler is the npm package, so that nothing is downloaded but packages.
  path: require.resolve("solc/soljson.js"),
  settings: {
    evmVersion: "prague",
    viaIR: true,
    optimizer: { enabled: true, runs: 20_000 },
  },
};

/** Enough to reach every state of the contracts many times, tests of larger ones say more; the defaults (256 × 500 calls) take minutes. */
export const solidityTests = { fuzz: { runs: 256 }, invariant: { runs: 32, depth: 128 } };
