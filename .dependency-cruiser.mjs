/**
 * The layers of the architecture, as rules: arrows go one way, and core knows nobody. `#primitives` (hashes, ciphers,
 * random bytes of the platform) is open to all, as a platform's own modules are; the other kernels are core's.
 */
const may = (from, allowed) => ({
  name: `${from}-layer`,
  severity: "error",
  from: { path: `^offchain/${from}/` },
  to: { path: "^offchain/", pathNot: [`^offchain/(${[from, ...allowed].join("|")})/`, "^offchain/kernels/primitives"] },
});

export default {
  forbidden: [
    { name: "no-cycle", severity: "error", from: {}, to: { circular: true } },
    {
      name: "core-is-pure",
      comment: "core and http run in browsers too: no Node modules",
      severity: "error",
      from: { path: "^offchain/(core|http)/" },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "core-knows-no-chain-library",
      severity: "error",
      from: { path: "^offchain/(core|kernels|store|http)/" },
      to: { path: "node_modules/(ethers|fastify|hardhat)/" },
    },
    may("kernels", []),
    may("core", ["kernels"]),
    may("store", ["core"]),
    may("chain", ["core"]),
    may("http", ["core"]),
    may("daemon", ["core", "chain", "store", "http"]),
    may("nbm", ["core", "chain", "store", "http", "daemon"]),
    may("csp", ["core", "chain", "store", "http", "daemon"]),
    may("verifier", ["core", "chain", "store", "http", "daemon"]),
    may("agent", ["core", "chain", "store", "http"]),
    may("serve", ["core", "http", "agent"]),
    may("cli", ["core", "agent", "serve"]),
    may("bin", ["cli", "nbm", "csp", "verifier"]),
    may("contracts", ["chain"]),
    may("hardhat", ["core", "chain", "agent", "cli"]),
    {
      name: "entry-points-are-for-programs",
      comment:
        "the package's entry points re-export whole folders; modules of the project import the one file they need",
      severity: "error",
      from: {},
      to: { path: "^offchain/(core/[^/]+|chain|contracts|hardhat)/index\\.ts$" },
    },
    {
      name: "agent-has-ports",
      comment: "the agent runs in browsers too: what it needs from Node is behind agent/platform.ts, in agent/node",
      severity: "error",
      from: { path: "^offchain/agent/", pathNot: "^offchain/agent/node/" },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "agent-platforms-are-apart",
      comment: "only a platform's own folder imports its files, its database, or its implementation of the ports",
      severity: "error",
      from: { path: "^offchain/agent/", pathNot: "^offchain/agent/(node|browser)/" },
      to: { path: "^offchain/(store|agent/(node|browser))/" },
    },
    {
      name: "browser-knows-no-node",
      severity: "error",
      from: { path: "^offchain/agent/browser/" },
      to: { path: "^offchain/(store|agent/node)/" },
    },
    {
      name: "product-needs-no-scripts-or-tests",
      severity: "error",
      from: { path: "^offchain/" },
      to: { path: "^(scripts|test|ignition)/" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^offchain/chain/types/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { conditionNames: ["node", "import", "default"], extensions: [".ts", ".mjs", ".js"] },
  },
};
