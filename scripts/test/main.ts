/**
 * Runs tests and counts them; the last line is `N passed, N failed` and nothing else.
 *
 *   npm test                      what a contributor runs: Solidity tests with the coverage bar, vectors, properties,
 *                                 protocols, and flows with real processes, databases and chains on loopback, most of
 *                                 them on one shared network
 *   npm test -- core agent        only test/core and test/agent; `solidity` names the Solidity tests
 *   npm run test:long             test/long: crashes, networks that a test damages, browser, real shells and peers,
 *                                 package installs; and properties and invariants with many more cases
 *   npm run test:long -- crash    only test/long/crash.test.ts; `properties`, `invariants` and `solidity` name the rest
 *   npm test -- --all             both, for continuous integration
 */
import { coverageStep } from "../check/coverage.ts";
import { filesOfFolders, longFiles, propertyFiles } from "./files.ts";
import { runMocha } from "./mocha.ts";
import { type Outcome, Output, sum } from "./outcome.ts";
import { withSharedNetwork } from "./shared-network.ts";
import { runDeepSolidityTests } from "./solidity.ts";

/** More than there are cores: many tests wait for blocks and processes. */
const FILES_AT_A_TIME = 3;
/** Long tests measure, kill and fill: two at a time leave each a core. */
const LONG_FILES_AT_A_TIME = 2;

/** @param wanted names of folders; all when empty. */
async function runShort(wanted: readonly string[]): Promise<Outcome> {
  const files = filesOfFolders(wanted);
  const solidity = wanted.length === 0 || wanted.includes("solidity");
  const beside = new Output(solidity);
  const both = await Promise.all([
    solidity ? coverageStep("quick").finally(() => beside.release()) : undefined,
    files.length === 0
      ? undefined
      : withSharedNetwork(files, (environment) => runMocha({ files, jobs: FILES_AT_A_TIME, environment }, beside)),
  ]);
  return sum(both.filter((outcome) => outcome !== undefined));
}

/** @param wanted names of files of test/long without their ending; all when empty. */
async function runLong(wanted: readonly string[]): Promise<Outcome> {
  const files = longFiles(wanted);
  const isWanted = (name: string) => wanted.length === 0 || wanted.includes(name);
  const outcomes: Outcome[] = [];
  const output = new Output(false);
  if (files.length > 0) {
    outcomes.push(
      await withSharedNetwork(files, (environment) =>
        runMocha({ files, jobs: LONG_FILES_AT_A_TIME, environment }, output),
      ),
    );
  }
  if (isWanted("properties")) {
    const environment = { TALLYSTICK_TEST_PROPERTY_RUNS: "500" };
    outcomes.push(await runMocha({ files: propertyFiles(), jobs: LONG_FILES_AT_A_TIME, environment }, output));
  }
  if (isWanted("invariants")) outcomes.push(await coverageStep("usual"));
  if (isWanted("solidity")) outcomes.push(await runDeepSolidityTests());
  return sum(outcomes);
}

const started = Date.now();
const words = process.argv.slice(2);
const flags = words.filter((word) => word.startsWith("--"));
const names = words.filter((word) => !word.startsWith("--"));
const unknown = flags.filter((flag) => flag !== "--long" && flag !== "--all");
if (unknown.length > 0) {
  process.stderr.write(`unknown option ${unknown.join(", ")}: --long and --all are known\n`);
  process.exit(2);
}
const outcomes: Outcome[] = [];
if (!flags.includes("--long")) outcomes.push(await runShort(names));
if (flags.includes("--all") || flags.includes("--long")) outcomes.push(await runLong(names));
const { passed, failed } = sum(outcomes);
process.stdout.write(`\nin ${Math.round((Date.now() - started) / 1000)} s\n${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
