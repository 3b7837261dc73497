/** `tallystick serve`: stored files for browsers, players and file managers of this machine. */
import { once } from "node:events";
import type { Command } from "commander";
import type { Agent } from "../../agent/index.ts";
import type { ReadableTree } from "../../agent/read/readable-tree.ts";
import { dataIdIn } from "../../agent/snapshots/resolve.ts";
import { InvalidInputError } from "../../core/errors.ts";
import type { AgentSession } from "../agent-session.ts";
import { asTallystickError } from "../output.ts";
import { withAgent } from "../session.ts";
import { portNumber } from "../values.ts";

interface ServeCommandOptions {
  readonly webdav?: boolean;
  readonly port?: number;
}

export function registerServe(program: Command): void {
  program
    .command("serve")
    .description("show stored files over HTTP on this machine, to read, until Ctrl-C")
    .argument("[snapshot]", "only this: beginning of a snapshot id, latest, latest:<host>, or a data id (default: all)")
    .option("--webdav", "answer WebDAV too, so that file managers can mount the files")
    .option("--port <number>", "port on 127.0.0.1 (default: one that is free)", portNumber("--port"))
    .addHelpText(
      "after",
      "\nShown are snapshots/<host>/<time>-<id>/ and snapshots/<host>/latest/, read anew every few seconds, and" +
        "\ndata/<data id>/ for everything that `ls` lists, without times.\n" +
        "\nThe address that is printed lets every program that has it read the files. Programs that want" +
        "\na password take the token as one, with any user name.\n" +
        "\nExample:\n  $ tallystick serve --webdav --port 8080" +
        "\n  $ rclone mount :webdav: /mnt/stored --webdav-url http://127.0.0.1:8080/<token>/ --read-only",
    )
    .action(async (place: string | undefined, options: ServeCommandOptions, command: Command) => {
      await withAgent(command, async (session) => serve(session, place, options));
    });
}

async function serve(session: AgentSession, place: string | undefined, options: ServeCommandOptions): Promise<void> {
  const { agent, output, signal } = session;
  const tree = place === undefined ? await everything(agent) : await oneTree(agent, place, signal);
  // Opens the key now, so that a wrong id is reported here and not to the first client.
  if (place !== undefined) await tree.stat("", signal);
  const { startTreeServer } = await import("../../serve/tree-server.ts");
  const server = await startTreeServer({
    tree,
    webdav: options.webdav === true,
    ...(options.port === undefined ? {} : { port: options.port }),
    onFailure: (error) => output.say(`tallystick: a request failed: ${asTallystickError(error).message}`),
  });
  try {
    await output.confirmedResult({ url: server.url, origin: server.origin, token: server.token }, [
      server.url,
      "or without the token in the address:",
      `  address   ${server.origin}`,
      "  user      any name",
      `  password  ${server.token}`,
    ]);
    output.say("tallystick: serving until Ctrl-C");
    if (!signal.aborted) await once(signal, "abort");
  } finally {
    await server.close();
  }
}

async function everything(agent: Agent): Promise<ReadableTree> {
  const { MountedTrees } = await import("../../serve/mounted-trees.ts");
  const { snapshotTrees } = await import("../../serve/snapshot-trees.ts");
  const trees = agent.trees();
  const snapshots = snapshotTrees({
    list: async () => (await agent.snapshots.list()).snapshots,
    tree: ({ dataId, metadataId, device }) => trees.tree(dataId, metadataId, device),
  });
  const puts = async () =>
    (await agent.list()).map(({ dataId, storedAt }) => ({
      name: dataId,
      tree: trees.tree(dataId),
      modifiedMillis: storedAt * 1000,
    }));
  const folders = [
    { name: "data", tree: new MountedTrees(puts) },
    { name: "snapshots", tree: snapshots },
  ];
  return new MountedTrees(() => folders);
}

/** @throws TallystickError NOT_FOUND for a snapshot; InvalidInputError for what names none, or a place in one */
async function oneTree(agent: Agent, place: string, signal: AbortSignal): Promise<ReadableTree> {
  // Data is found without a list, also where nobody can read one.
  if (dataIdIn(place) === place) return agent.trees().tree(place);
  const { dataId, snapshot, path } = await agent.snapshots.resolve(place, { signal });
  if (path === undefined) return agent.trees().tree(dataId, snapshot?.metadataId, snapshot?.device);
  throw new InvalidInputError("a snapshot is shown as a whole, not a path of it", {
    party: "you",
    check: "snapshot",
    received: JSON.stringify(place.slice(0, 80)),
  });
}
