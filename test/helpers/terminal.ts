/** Runs a command at a terminal of its own (util-linux `script`) and types answers when prompts show up. */
import { spawn } from "node:child_process";

/** What is typed when a prompt is shown; a function gets everything shown so far. */
export type Answer = string | ((shown: string) => string);

const LONGEST_MILLISECONDS = 30_000;

export interface TerminalEnd {
  readonly exitCode: number | null;
  readonly shown: string;
}

/** Ctrl-D, typed at a prompt. */
export const CTRL_D = "\u0004";

/**
 * @param words the command and its arguments
 * @param answers prompts, in their order, and what is typed at each; each is ended by Enter unless it is Ctrl-D
 * @param environment in place of this process's own; undefined values are left out
 */
export async function atTerminal(
  words: readonly string[],
  answers: readonly (readonly [prompt: string, answer: Answer])[],
  environment: Readonly<Record<string, string | undefined>> = {},
  workingDirectory?: string,
): Promise<TerminalEnd> {
  const command = words.map((word) => `'${word}'`).join(" ");
  const child = spawn("script", ["-qefc", command, "/dev/null"], {
    env: { ...process.env, TERM: "xterm", ...environment },
    cwd: workingDirectory,
  });
  let shown = "";
  let seen = 0;
  const waiting = [...answers];
  const answerPrompts = () => {
    const [prompt, answer] = waiting[0] ?? [];
    // A prompt is drawn again for each character typed; the next one is on another line.
    const from = seen === 0 ? 0 : shown.indexOf("\n", seen);
    const at = prompt === undefined || from < 0 ? -1 : shown.indexOf(prompt, from);
    if (prompt === undefined || answer === undefined || at < 0) return;
    seen = at + prompt.length;
    waiting.shift();
    const text = typeof answer === "string" ? answer : answer(shown);
    child.stdin.write(text === CTRL_D ? text : `${text}\r`);
  };
  child.stdout.on("data", (piece: Buffer) => {
    shown += piece.toString();
    answerPrompts();
  });
  // A prompt that nobody answers would wait for ever.
  const timer = setTimeout(() => child.kill("SIGKILL"), LONGEST_MILLISECONDS);
  return await new Promise((done, reject) => {
    child.once("error", reject);
    child.once("close", (exitCode) => {
      clearTimeout(timer);
      done({ exitCode, shown });
    });
  });
}

/** The recovery phrase on a screen: four lines of six words, each after its number. */
export function shownPhrase(shown: string): string[] {
  const lines = [...shown.matchAll(/^ {2}((?: *\d+ [a-z]+){6})\r?$/gm)];
  return lines.flatMap(([, words = ""]) => words.match(/[a-z]+/g) ?? []);
}

/** Answers the question for a word of the recovery phrase that was shown before. */
export function askedWord(shown: string): string {
  const places = [...shown.matchAll(/Word (\d+) of the recovery phrase/g)];
  return shownPhrase(shown)[Number(places.at(-1)?.[1]) - 1] ?? "";
}
