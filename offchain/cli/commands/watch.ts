/** `tallystick watch`: follows the account's data sets, one line per change, until Ctrl-C. */
import type { Command } from "commander";
import { systemClock } from "../../agent/clock.ts";
import type { WatchEvent, Watcher } from "../../agent/index.ts";
import type { AgentSession } from "../agent-session.ts";
import { EXIT } from "../exit-codes.ts";
import { withAgent } from "../session.ts";
import { wholeNumber } from "../values.ts";
import { watchLine } from "./watch-lines.ts";

const DEFAULT_INTERVAL_SECONDS = 60;

interface WatchFlags {
  readonly interval?: number;
  readonly audit?: number;
  readonly once?: boolean;
}

export function registerWatch(program: Command): void {
  program
    .command("watch")
    .description("tell of every change of this account's data sets, and of requests for its identity, until Ctrl-C")
    .option(
      "--interval <seconds>",
      `seconds between two looks (default: ${DEFAULT_INTERVAL_SECONDS})`,
      wholeNumber("--interval"),
    )
    .option(
      "--audit <n>",
      "have the provider of a set prove privately at every n-th look that reaches the set (default: never)",
      wholeNumber("--audit"),
    )
    .option("--once", "look once; the exit code says what was found")
    .addHelpText(
      "after",
      "\nWith --json, every line is one object. With --once the exit code is 0 when all is well, 7 when a proof is" +
        "\nmissing, a dispute was not answered, a set was breached in this epoch or the one before, an audit failed," +
        "\nor somebody asks for the identity, 5 when something could not be read or a provider refused an audit for" +
        "\nnow, and 9 when the balance is short. Three audits of a set in a row without a proof are an alarm; --once" +
        "\nmakes one: count its 5s.\n" +
        "\nExamples:\n  $ tallystick watch --interval 300 --audit 12\n  $ tallystick watch --once --audit 1 --json",
    )
    .action(async (flags: WatchFlags, command: Command) => {
      const ended = new AbortController();
      const end = () => ended.abort();
      process.once("SIGTERM", end);
      try {
        await withAgent(command, async (session) => {
          const signal = AbortSignal.any([session.signal, ended.signal]);
          await watch(session, flags, signal);
        });
      } finally {
        process.off("SIGTERM", end);
      }
    });
}

async function watch(session: AgentSession, flags: WatchFlags, signal: AbortSignal): Promise<void> {
  const watcher = session.agent.watch(flags.audit === undefined ? {} : { auditEvery: flags.audit });
  if (flags.once === true) {
    const events = await look(watcher, signal);
    await printAll(session, events);
    session.exitWith(exitCodeFor(events));
    return;
  }
  session.output.say("tallystick: watching until Ctrl-C");
  const intervalMillis = (flags.interval ?? DEFAULT_INTERVAL_SECONDS) * 1000;
  while (!signal.aborted) {
    if (!(await printAll(session, await look(watcher, signal)))) return;
    await systemClock.pause(intervalMillis, signal).catch(() => undefined);
  }
}

/** One look; nothing when the command is ended meanwhile, because an endpoint that hangs must not delay the end. */
async function look(watcher: Watcher, signal: AbortSignal): Promise<readonly WatchEvent[]> {
  const ended = Promise.withResolvers<readonly WatchEvent[]>();
  const end = () => ended.resolve([]);
  signal.addEventListener("abort", end);
  if (signal.aborted) end();
  try {
    const looking = watcher.look();
    looking.catch(() => undefined);
    return await Promise.race([looking, ended.promise]);
  } finally {
    signal.removeEventListener("abort", end);
  }
}

/** @returns false when nobody reads any more */
async function printAll({ output }: AgentSession, events: readonly WatchEvent[]): Promise<boolean> {
  for (const event of events) if (!(await output.event(event, watchLine(event)))) return false;
  return true;
}

/** What is worst decides. */
export function exitCodeFor(events: readonly WatchEvent[]): number {
  if (events.some(({ severity }) => severity === "alarm")) return EXIT.integrity;
  if (events.some(({ kind }) => kind === "failed")) return EXIT.network;
  if (events.some(({ kind }) => kind === "runway")) return EXIT.funds;
  return EXIT.ok;
}
