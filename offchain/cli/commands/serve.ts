/** `tallystick serve`: stored files for browsers, players and file managers of this machine. */
import { once } from "node:events";
import type { Command } from "commander";
import { MountedTrees } from "../../serve/mounted-trees.ts";
import { startTreeServer } from "../../serve/tree-server.ts";
import { asTallystickError } from "../output.ts";
import { type AgentSession, withAgent } from "../session.ts";
import { portNumber } from "../values.ts";

interface ServeCommandOptions {
  readonly webdav?: boolean;
  readonly port?: number;
}

export function registerServe(program: Command): void {
  program
    .command("serve")
    .description("show stored files over HTTP on this machine, to read, until Ctrl-C")
    .argument("[id]", "only this data id (default: everything that `ls` lists)")
    .option("--webdav", "answer WebDAV too, so that file managers can mount the files")
    .option("--port <number>", "port on 127.0.0.1 (default: one that is free)", portNumber("--port"))
    .addHelpText(
      "after",
      "\nThe address that is printed lets every program that has it read the files. Programs that want" +
        "\na password take the token as one, with any user name.\n" +
        "\nExample:\n  $ tallystick serve --webdav --port 8080" +
        "\n  $ rclone mount :webdav: /mnt/stored --webdav-url http://127.0.0.1:8080/<token>/ --read-only",
    )
    .action(async (id: string | undefined, options: ServeCommandOptions, command: Command) => {
      await withAgent(command, async (session) => serve(session, id, options));
    });
}

async function serve(session: AgentSession, id: string | undefined, options: ServeCommandOptions): Promise<void> {
  const { agent, output, signal } = session;
  const trees = agent.trees();
  const puts = async () =>
    (await agent.list()).map(({ dataId, storedAt }) => ({
      name: dataId,
      tree: trees.tree(dataId),
      modifiedMillis: storedAt * 1000,
    }));
  const tree =
    id === undefined ? new MountedTrees(() => [{ name: "data", tree: new MountedTrees(puts) }]) : trees.tree(id);
  // Opens the key now, so that a wrong id is reported here and not to the first client.
  if (id !== undefined) await tree.stat("", signal);
  const server = await startTreeServer({
    tree,
    webdav: options.webdav === true,
    ...(options.port === undefined ? {} : { port: options.port }),
    onFailure: (error) => output.say(`tallystick: a request failed: ${asTallystickError(error).message}`),
  });
  try {
    await output.confirmedResult({ url: server.url, origin: server.origin, token: server.token }, [
      server.url,
      `  without the token in the address  ${server.origin}, any user name, password ${server.token}`,
    ]);
    output.say("tallystick: serving until Ctrl-C");
    if (!signal.aborted) await once(signal, "abort");
  } finally {
    await server.close();
  }
}
