/**
 * What a command prints. Data goes to stdout, talk to stderr. With `--json`, stdout carries exactly one JSON document,
 * the result or `{ "error": … }`, and nothing else.
 */
import { type NodeReport, nodeLines } from "../agent/keys/node-reports.ts";
import { TallystickError } from "../core/errors.ts";
import { EXIT } from "./exit-codes.ts";

export interface Output {
  readonly json: boolean;
  /** Prints the one result of a command: the document for machines, the lines for people. */
  result(document: object, lines: readonly string[]): void;
  /**
   * Prints the result and waits until it is written, for what must not be lost.
   * @throws TallystickError DISK_FAILED when nobody reads it or no space is left
   */
  confirmedResult(document: object, lines: readonly string[]): Promise<void>;
  /** Prints one line of a result that is too long to be kept, for people. With `--json` it prints nothing. */
  line(text: string): Promise<void>;
  /**
   * Prints one of many results as soon as it is known: one document on one line with `--json`.
   * @returns false when nobody reads any more
   */
  event(document: object, text: string): Promise<boolean>;
  /** Talk: progress remarks, warnings, what happens next. Never on stdout. */
  say(line: string): void;
  /** What was not done, though the command goes on. On stderr like talk, and with `--quiet` too. */
  problem(line: string): void;
  /** A typed failure: `error`, then `hint`, in the form scripts and people know. */
  failure(error: TallystickError): void;
}

function replacer(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Uint8Array)
    return `0x${Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  return value;
}

/** Control characters of a hostile file name or server message must not reach the terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are exactly the characters to be shown as escapes
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** What the key nodes answered, when the failure is that too few answered rightly. */
function nodeAnswers(error: TallystickError): string[] {
  const answers: unknown = error.details?.nodes;
  return Array.isArray(answers) ? nodeLines(answers.filter(isNodeReport)) : [];
}

/** Details of errors may be another party's. */
function isNodeReport(value: unknown): value is NodeReport {
  if (typeof value !== "object" || value === null) return false;
  const { url, answer, message } = value as Partial<Record<keyof NodeReport, unknown>>;
  return typeof url === "string" && typeof answer === "string" && ["string", "undefined"].includes(typeof message);
}

function failureLines(error: TallystickError): string[] {
  const lines = [`tallystick: error: ${printable(error.message)}`];
  const nodes = nodeAnswers(error);
  const facts = [
    error.party && `party ${error.party}`,
    error.check && `check ${error.check}`,
    error.expected && `expected ${error.expected}`,
    // The lines of the nodes say the same, with codes.
    nodes.length === 0 && error.received && `received ${error.received}`,
  ].filter((fact) => typeof fact === "string" && fact !== "");
  if (facts.length > 0) lines.push(`tallystick:   ${printable(facts.join("; "))}`);
  for (const node of nodes) lines.push(`tallystick:   ${printable(node)}`);
  if (error.hint) lines.push(`tallystick: hint: ${printable(error.hint)}`);
  const { retryAfterSeconds } = error;
  if (retryAfterSeconds !== undefined) lines.push(`tallystick: hint: try again in ${waitText(retryAfterSeconds)}`);
  return lines;
}

/** Rounded up, so that who waits so long does not come too early. */
export function waitText(seconds: number): string {
  const whole = Math.max(1, Math.ceil(seconds));
  if (whole < 120) return `${whole} s`;
  return whole < 7200 ? `${Math.ceil(whole / 60)} min` : `${Math.ceil(whole / 3600)} h`;
}

let isFailureReported = false;

/**
 * For the error events of stdout and stderr. A reader that stops early (`| head`) is no failure: the work is done by
 * then. What waits for its output reports the failure itself.
 */
export function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code === "EPIPE" || isFailureReported) return;
  process.stderr.write(`tallystick: error: the output cannot be written: ${error.code ?? error.message}\n`);
  process.exit(EXIT.local);
}

/** @throws TallystickError DISK_FAILED when stdout does not take the text */
async function writeConfirmed(text: string): Promise<void> {
  await new Promise<void>((done, reject) => {
    process.stdout.write(text, (error) => {
      if (error === null || error === undefined) return done();
      isFailureReported = true;
      const code = "code" in error ? String(error.code) : error.message;
      reject(
        new TallystickError("the output cannot be written", {
          code: "DISK_FAILED",
          party: "you",
          check: "standard output",
          received: code,
          hint: "run the command again with its output on a terminal or in a file that has space",
          cause: error,
        }),
      );
    });
  });
}

export function createOutput(json: boolean, quiet: boolean): Output {
  const text = (document: object, lines: readonly string[]) => {
    if (json) return `${JSON.stringify(document, replacer, 2)}\n`;
    return lines.length > 0 ? `${lines.join("\n")}\n` : "";
  };
  const line = async (text: string): Promise<boolean> => {
    const { stdout } = process;
    // A reader that has stopped takes nothing more, and never drains.
    if (!stdout.writable) return false;
    if (stdout.write(`${text}\n`)) return true;
    await new Promise<void>((resolve) => {
      const go = () => {
        stdout.off("drain", go).off("close", go);
        resolve();
      };
      stdout.once("drain", go).once("close", go);
    });
    return stdout.writable;
  };
  return {
    json,
    result(document, lines) {
      process.stdout.write(text(document, lines));
    },
    async confirmedResult(document, lines) {
      await writeConfirmed(text(document, lines));
    },
    async line(text) {
      if (!json) await line(text);
    },
    async event(document, text) {
      return await line(json ? JSON.stringify(document, replacer) : text);
    },
    say(line) {
      if (!quiet) process.stderr.write(`${printable(line)}\n`);
    },
    problem(line) {
      process.stderr.write(`${printable(line)}\n`);
    },
    failure(error) {
      if (json && !isFailureReported) {
        process.stdout.write(`${JSON.stringify({ error: error.toJSON() }, replacer, 2)}\n`);
      }
      process.stderr.write(`${failureLines(error).join("\n")}\n`);
    },
  };
}

/** @returns any thrown value as a typed error; what is not typed is a defect of this program and says so */
export function asTallystickError(error: unknown): TallystickError {
  if (error instanceof TallystickError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new TallystickError(message, {
    code: "INTERNAL",
    hint: "this is a defect of Tallystick; report it with the command you ran (TALLYSTICK_DEBUG=1 shows the stack)",
    cause: error,
  });
}

/** @returns a time of this machine's zone, for people, for example `2026-11-28 04:45:10 +0100` */
export function formatTime(millis: number): string {
  const time = new Date(millis);
  const two = (value: number) => String(value).padStart(2, "0");
  const zone = -time.getTimezoneOffset();
  const offset = `${zone < 0 ? "-" : "+"}${two(Math.floor(Math.abs(zone) / 60))}${two(Math.abs(zone) % 60)}`;
  const date = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${date} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())} ${offset}`;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** @returns a size for people, for example `3.4 MiB` */
export function formatBytes(bytes: number | bigint): string {
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}
