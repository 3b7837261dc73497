/** How contracts are compiled and tested, for Hardhat's own configuration and for the one that measures coverage. */
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** A compiler that favours calls (many runs) or small code (few). */
function compiler(runs: number) {
  return {
    version: "0.8.37",
    // The compiler is the npm package, so that nothing is downloaded but packages.
    path: require.resolve("solc/soljson.js"),
    settings: { evmVersion: "prague", viaIR: true, optimizer: { enabled: true, runs } },
  };
}

export const solidityProfile = {
  compilers: [compiler(20_000)],
  // The largest contract would exceed the limit of 24,576 bytes.
  overrides: { "contracts/StorageEscrow.sol": compiler(800) },
};

/** Cases per property and calls per invariant. */
const DEPTHS = {
  /** What `npm test` has time for: properties and invariants fail on a plain mistake. */
  quick: { fuzz: { runs: 64 }, invariant: { runs: 8, depth: 64 } },
  /** Reaches every state of the contracts many times: `npm run test:long -- invariants`, and Hardhat by itself. */
  usual: { fuzz: { runs: 256 }, invariant: { runs: 32, depth: 200 } },
  /** `npm run test:long -- solidity`. */
  deep: { fuzz: { runs: 2000 }, invariant: { runs: 128, depth: 256 } },
};
export type FuzzDepth = keyof typeof DEPTHS;

/** Environment variable that names the depth. */
export const FUZZ_DEPTH_VARIABLE = "TALLYSTICK_TEST_FUZZ";

function isDepth(name: string): name is FuzzDepth {
  return Object.hasOwn(DEPTHS, name);
}

function depth(): FuzzDepth {
  const name = process.env[FUZZ_DEPTH_VARIABLE] ?? "usual";
  if (isDepth(name)) return name;
  throw new Error(`${FUZZ_DEPTH_VARIABLE}: expected ${Object.keys(DEPTHS).join(", ")}, received ${name}`);
}

export const solidityTests = DEPTHS[depth()];
