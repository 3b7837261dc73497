/** Ctrl-C: the work ends in order, or is abandoned when that takes too long. Every step tolerates being cut off. */
import { TallystickError } from "../core/errors.ts";
import { EXIT } from "./exit-codes.ts";
import { createOutput } from "./output.ts";

/** The terminal and the launcher both pass one Ctrl-C on. What comes later than this is another one. */
const SAME_KEYSTROKE_MILLISECONDS = 500;
/** Time for what is under way to end in order. */
const GRACE_MILLISECONDS = 3000;

/** The user ended the command. */
export class InterruptedError extends TallystickError {
  constructor() {
    super("interrupted", {
      code: "INTERRUPTED",
      party: "you",
      hint: "run the same command again: it continues where it stopped",
      retryable: true,
    });
  }
}

let endAtOnce: (() => void) | undefined;

/**
 * From now on Ctrl-C ends the process with the message and the exit code of an interrupted command, wherever no work
 * runs that ends in order: while the program loads, and while the keystore is being opened.
 */
export function endAtInterrupt(argv: readonly string[]): void {
  endAtOnce = () => {
    createOutput(argv.includes("--json"), false).failure(new InterruptedError());
    process.exit(EXIT.interrupted);
  };
  process.on("SIGINT", endAtOnce);
}

/**
 * Runs work that Ctrl-C ends: the signal aborts it, and it is abandoned if it has not ended soon after, or at a second
 * Ctrl-C.
 *
 * @throws InterruptedError once Ctrl-C was pressed, unless the work succeeded all the same; whatever the work throws
 */
export async function interruptible<Result>(work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const abort = new AbortController();
  const givenUp = Promise.withResolvers<never>();
  let pressedAt: number | undefined;
  let grace: NodeJS.Timeout | undefined;
  const giveUp = () => givenUp.reject(new InterruptedError());
  const press = () => {
    if (pressedAt === undefined) {
      pressedAt = performance.now();
      grace = setTimeout(giveUp, GRACE_MILLISECONDS);
      abort.abort();
    } else if (performance.now() - pressedAt > SAME_KEYSTROKE_MILLISECONDS) giveUp();
  };
  process.on("SIGINT", press);
  if (endAtOnce !== undefined) process.off("SIGINT", endAtOnce);
  try {
    return await Promise.race([work(abort.signal), givenUp.promise]);
  } catch (error) {
    throw abort.signal.aborted ? new InterruptedError() : error;
  } finally {
    clearTimeout(grace);
    if (endAtOnce !== undefined) process.on("SIGINT", endAtOnce);
    process.off("SIGINT", press);
  }
}
