/**
 * What every installed program does first: refuses a Node that is too old with a message that says so, sets up the
 * runtime, and only then loads the program. The program is loaded by a dynamic import, because a static one would fail
 * on an older Node (for lack of `node:sqlite`) before this module could say anything.
 */
// By name it would fail to load on a Node that lacks it, before the message below could be printed.
import nodeModule from "node:module";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { setFlagsFromString } from "node:v8";

/** The `engines.node` of package.json. */
const NEEDED = { major: 22, minor: 15 } as const;

function isTooOld(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major < NEEDED.major || (major === NEEDED.major && minor < NEEDED.minor);
}

/** `node:sqlite` announces itself as experimental at every start; other warnings pass. */
function silenceExperimentalWarnings(): void {
  const { emitWarning } = process;
  process.emitWarning = (warning: string | Error, ...rest: unknown[]) => {
    const [options] = rest;
    const isNamed = typeof options === "object" && options !== null && "type" in options;
    const type = warning instanceof Error ? warning.name : isNamed ? options.type : options;
    if (type !== "ExperimentalWarning") Reflect.apply(emitWarning, process, [warning, ...rest]);
  };
}

/**
 * Compiled code is kept between starts, which takes a third off the time of a short command. It is kept in the user's
 * own cache folder: Node's default is a folder below /tmp, where another user of the machine could put code of theirs.
 */
function keepCompiledCode(): void {
  if (process.env.NODE_COMPILE_CACHE !== undefined) return;
  const caches = cacheFolder();
  if (caches !== undefined) nodeModule.enableCompileCache(join(caches, "tallystick", "compiled"));
}

/** Undefined for a user without a home folder: a relative path would lead into the current folder. */
function cacheFolder(): string | undefined {
  const named = process.env.XDG_CACHE_HOME ?? "";
  if (isAbsolute(named)) return named;
  try {
    const home = homedir();
    return isAbsolute(home) ? join(home, ".cache") : undefined;
  } catch {
    // No HOME, and no entry in the user database.
    return undefined;
  }
}

/**
 * Keeps the nursery of the heap at the size that it has reached, 8 MiB once the command line has loaded. Left at its
 * first size it is collected 560 times by a put of 10,000 small files, and so 190 times; one that grows on lets the
 * buffers of chunks pile up, which many small collections release early. The size itself cannot be set once Node runs.
 */
export function keepNurserySmall(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}

/**
 * Lets the heap grow to three times of what is in use before all of it is collected. Node counts buffers that come and
 * go as growth, and lets a small heap grow by 8 MiB only, so that a put of 1 GiB collected 55 times, which took a
 * seventh of its processor time.
 */
export function collectLessOften(): void {
  setFlagsFromString("--heap-growing-percent=200");
}

/**
 * Starts a program.
 *
 * @param name as the user typed it, for the message about an old Node
 * @param load imports the program and runs it
 * @param node version of this Node
 */
export async function startProgram(
  name: string,
  load: () => Promise<void>,
  node: string = process.versions.node,
): Promise<void> {
  if (isTooOld(node)) {
    process.stderr.write(
      `${name}: error: Node ${NEEDED.major}.${NEEDED.minor} or later is needed, this is ${node}\n` +
        `${name}: hint: install a newer Node from https://nodejs.org and run the command again; in a checkout, ` +
        `npx ${name} takes the Node that npm run setup has installed\n`,
    );
    process.exitCode = 1;
    return;
  }
  silenceExperimentalWarnings();
  keepCompiledCode();
  await load();
}
