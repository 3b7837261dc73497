/**
 * The command line of a daemon: `tallystick-nbm --config <file>`, `tallystick-nbm init --data-dir <folder>`,
 * `--help`, `--version`. Mistakes in options and in the configuration are for the person who typed them: a plain line
 * and a hint on stderr, exit code 2, or 3 for a keystore that is not there or does not open. Everything else from the
 * start of the daemon on is in its log, on stderr.
 */

import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { parseDeployment } from "../chain/deployment.ts";
import { useProxyFromEnvironment } from "../chain/node-proxy.ts";
import { redactUrlsIn } from "../core/encoding/redact-url.ts";
import { similarWord } from "../core/encoding/similar-word.ts";
import { type ErrorCode, InvalidInputError, TallystickError } from "../core/errors.ts";
import { VERSION } from "../core/version.ts";
import { systemReason } from "../store/disk/disk-errors.ts";
import { makeFolders } from "../store/disk/make-folders.ts";
import { startDaemon } from "./boot.ts";
import { type DaemonConfig, readJsonFile } from "./config.ts";
import type { DaemonDatabase } from "./database.ts";
import { createDaemonKeystore, type DaemonKind, readPassphrase, requireKeystore } from "./keystore-file.ts";
import { announceReady, Closers, closeOnSignals, runDaemon } from "./lifecycle.ts";
import { createLogger } from "./logger.ts";
import type { DaemonProgram } from "./program.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_IDENTITY = 3;

/** Mistakes in what the operator has written: they are explained in words, also while the daemon starts. */
const MISTAKES: ReadonlyMap<ErrorCode, number> = new Map([
  ["INVALID_INPUT", EXIT_USAGE],
  ["FILE_UNREADABLE", EXIT_USAGE],
  ["NO_DEPLOYMENT", EXIT_USAGE],
  ["UNKNOWN_VERSION", EXIT_USAGE],
  ["NO_IDENTITY", EXIT_IDENTITY],
  ["WRONG_PASSPHRASE", EXIT_IDENTITY],
]);

const HELP = `
The passphrase of the keystore comes from TALLYSTICK_PASSPHRASE or from a file of mode 0600 (passphraseFile in the
configuration, --passphrase-file of init), never from the command line. docs/operating.md has all fields of the
configuration.`;

/** Runs the program with the arguments of this process. */
export async function runProgram<Config extends DaemonConfig, Data extends DaemonDatabase>(
  program: DaemonProgram<Config, Data>,
  argv: readonly string[] = process.argv.slice(2),
): Promise<void> {
  const name = `tallystick-${program.kind}`;
  const command = buildCommand(program, name);
  try {
    refuseUnknownCommand(command, argv[0]);
    await useProxyFromEnvironment();
    await command.parseAsync([...argv], { from: "user" });
  } catch (error) {
    process.exitCode = explain(name, error);
  }
}

/** Commander counts a wrong name of a command as one argument too many, and names none that is similar. */
function refuseUnknownCommand(command: Command, word: string | undefined): void {
  const known = command.commands.map((one) => one.name());
  if (word === undefined || word.startsWith("-") || known.includes(word)) return;
  const similar = similarWord(word, known);
  const remark = similar === undefined ? "" : `\n(Did you mean ${similar}?)`;
  command.error(`error: unknown command '${word}'${remark}`, { code: "commander.unknownCommand" });
}

function buildCommand<Config extends DaemonConfig, Data extends DaemonDatabase>(
  program: DaemonProgram<Config, Data>,
  name: string,
): Command {
  const output = {
    writeErr: (text: string) => process.stderr.write(text.replace(/^error: /, `${name}: error: `)),
  };
  const command = new Command(name)
    .description(program.description)
    .version(VERSION)
    // An option after the name of a command is the command's: both know --config.
    .enablePositionalOptions()
    .option("--config <file>", "configuration of the daemon (JSON)")
    .helpCommand(false)
    .addHelpText("after", HELP)
    .addHelpText("after", `\nExample:\n  ${name} --config /etc/tallystick/${program.kind}.json`)
    .showHelpAfterError(`${name}: hint: --help lists the options`)
    .configureOutput(output)
    .exitOverride()
    .action(({ config }: { config?: string }) => start(program, config));
  command
    .command("init")
    .description("make a new keystore, and print the operator's account")
    .requiredOption("--data-dir <folder>", "folder to write keystore.json to")
    .option("--passphrase-file <file>", "read the passphrase from this file of mode 0600")
    .showHelpAfterError(`${name}: hint: init --help lists the options`)
    .configureOutput(output)
    .exitOverride()
    .action((options: { dataDir: string; passphraseFile?: string }) => initialise(program.kind, options));
  for (const extra of program.commands ?? []) {
    const added = command
      .command(extra.name)
      .description(extra.description)
      .requiredOption("--config <file>", "configuration of the daemon (JSON)")
      .addHelpText("after", `\nExample:\n  ${name} ${extra.example}`)
      .showHelpAfterError(`${name}: hint: ${extra.name} --help lists the options`)
      .configureOutput(output)
      .exitOverride();
    for (const [flags, description] of extra.options) added.option(flags, description);
    for (const [word, description] of extra.arguments ?? []) added.argument(word, description);
    added.action(async () => {
      const options = added.optsWithGlobals<Record<string, unknown>>();
      process.exitCode = await extra.run(program.load(String(options.config)), options, added.args);
    });
  }
  return command;
}

function start<Config extends DaemonConfig, Data extends DaemonDatabase>(
  program: DaemonProgram<Config, Data>,
  file: string | undefined,
): void {
  if (file === undefined) {
    throw new InvalidInputError("no configuration given", { hint: "start the daemon with --config <file.json>" });
  }
  const config = program.load(file);
  requireKeystore(config, program.kind);
  parseDeployment(readJsonFile(config.deploymentFile, "deployment file"));
  requireDataFolder(config.dataDir);
  const logger = createLogger(program.kind, config.logLevel ?? process.env.TALLYSTICK_LOG_LEVEL);
  const closers = new Closers();
  closeOnSignals(closers, logger);
  runDaemon(logger, async () => {
    try {
      announceReady((await startDaemon(program, config, logger, closers)).url);
    } catch (error) {
      if (!(error instanceof TallystickError) || !MISTAKES.has(error.code)) throw error;
      process.exit(explain(`tallystick-${program.kind}`, error));
    }
  });
}

/** @throws InvalidInputError for a folder that cannot be made or written to */
function requireDataFolder(folder: string): void {
  try {
    makeFolders(folder, 0o700);
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new InvalidInputError(`dataDir ${folder} cannot be used: ${systemReason(cause)}`, {
      check: "dataDir",
      hint: "name a folder that the user of the daemon may write to, or make it and give it to that user",
      cause,
    });
  }
}

/**
 * Writes `<folder>/keystore.json` and prints `{"operator", "keystoreFile"}`. The account needs coins before the
 * daemon starts.
 */
async function initialise(kind: DaemonKind, options: { dataDir: string; passphraseFile?: string }): Promise<void> {
  const keystoreFile = join(options.dataDir, "keystore.json");
  const operator = await createDaemonKeystore(keystoreFile, readPassphrase(options.passphraseFile), kind);
  process.stdout.write(`${JSON.stringify({ operator, keystoreFile })}\n`);
}

/** Prints what went wrong. @returns the exit code; unexpected errors are defects and keep their stack. */
function explain(name: string, error: unknown): number {
  // The parser has printed its own message.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
  if (!(error instanceof TallystickError)) throw error;
  const facts = [
    ...(error.received === undefined ? [] : [`received ${error.received}`]),
    ...(error.expected === undefined ? [] : [`expected ${error.expected}`]),
  ];
  const line = [error.message, ...(facts.length === 0 ? [] : [facts.join(", ")])].join(": ");
  process.stderr.write(`${name}: error: ${redactUrlsIn(line)}\n`);
  if (error.hint !== undefined) process.stderr.write(`${name}: hint: ${error.hint}\n`);
  return MISTAKES.get(error.code) ?? EXIT_FAILED;
}
