/** An open agent for a command, closed however the command ends. */
import type { Command } from "commander";
import { dataIdIn } from "../agent/snapshots/resolve.ts";
import { InvalidInputError } from "../core/errors.ts";
import type { AgentNeeds, AgentSession } from "./agent-session.ts";
import { isKeyGiven } from "./keystore-key.ts";
import { beginOpening, surroundings, wipeOnceOpen } from "./surroundings.ts";

/**
 * Opens the agent of the home folder, runs the command's work, and closes what was opened. The network is named first.
 * A network other than the one that the home folder was first used with is refused.
 */
export async function withAgent(
  command: Command,
  work: (session: AgentSession) => Promise<void>,
  needs: AgentNeeds = {},
): Promise<void> {
  const around = surroundings(command);
  const isGiven = needs.key !== undefined || isKeyGiven(around.options);
  // The keystore takes 0.4 s of another core, and the code of an agent takes nearly half of that to load.
  const opening = isGiven ? beginOpening(around, needs.key) : undefined;
  try {
    // Loading holds this thread until it is done, so the other core has to have its work before. Who opens the identity
    // is told what failed.
    await opening?.catch(() => undefined);
    const { openSession } = await import("./agent-session.ts");
    await openSession(command, around, work, { ...needs, opening });
  } finally {
    if (opening !== undefined) wipeOnceOpen(opening);
  }
}

/**
 * The data id that a person means: one as it is, or that of the snapshot which `latest`, `latest:<host>` or the
 * beginning of a snapshot id names.
 *
 * @throws InvalidInputError for a place in a snapshot; as `agent.snapshots.resolve`
 */
export async function dataIdOf(
  { agent, signal }: Pick<AgentSession, "agent" | "signal">,
  text: string,
): Promise<string> {
  if (dataIdIn(text) === text) return text;
  const { dataId, path } = await agent.snapshots.resolve(text, { signal });
  if (path === undefined) return dataId;
  throw new InvalidInputError("this command is about all of a put, not a path in it", {
    party: "you",
    check: "snapshot",
    expected: "the beginning of a snapshot id, latest, latest:<host> or a data id, without :<path>",
    received: JSON.stringify(text.slice(0, 80)),
  });
}
