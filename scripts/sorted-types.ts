/**
 * A Hardhat plugin that gives generated types one order. TypeChain lists contracts as the disk happens to name them, so that the
 * same sources would give other files on another machine, and every first build would leave changes in the checkout.
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { HardhatPlugin } from "hardhat/types/plugins";

/** Lines that say the same in any order: what an index passes on, and one overload per contract. */
const unordered = [
  /^(?:import|export) /,
  /^ *getContractFactory\(name: /,
  /^ *getContractAt\(name: /,
  /^ *deployContract\(name: '/,
];

function sortLines(text: string): string {
  const sorted: string[] = [];
  let run: string[] = [];
  let runKind = -1;
  const endRun = () => {
    sorted.push(...run.sort());
    run = [];
  };
  for (const line of text.split("\n")) {
    const kind = unordered.findIndex((pattern) => pattern.test(line));
    if (kind !== runKind) endRun();
    runKind = kind;
    if (kind === -1) sorted.push(line);
    else run.push(line.trim());
  }
  endRun();
  return sorted.join("\n");
}

export const sortedTypes: HardhatPlugin = {
  id: "tallystick-sorted-types",
  dependencies: () => [import("@nomicfoundation/hardhat-typechain")],
  hookHandlers: {
    solidity: async () => ({
      default: async () => ({
        async processArtifactsAfterSuccessfulBuild({ config }) {
          const folder = config.typechain.outDir;
          if (folder === undefined) return;
          const files = await readdir(folder, { recursive: true });
          for (const name of files.filter((file) => /(?:^|[\\/])(?:index|hardhat\.d)\.ts$/.test(file))) {
            const path = join(folder, name);
            const text = await readFile(path, "utf8");
            const sorted = sortLines(text);
            if (sorted !== text) await writeFile(path, sorted);
          }
        },
      }),
    }),
  },
};
