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

/**
 * Cases per property and calls per invariant. The usual number reaches every state of the contracts many times; `npm
 * run test:long` runs with the deep one.
 */
export const solidityTests =
  process.env.TALLYSTICK_TEST_FUZZ === "deep"
    ? { fuzz: { runs: 2000 }, invariant: { runs: 128, depth: 256 } }
    : { fuzz: { runs: 256 }, invariant: { runs: 32, depth: 128 } };
