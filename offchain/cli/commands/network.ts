/** `tallystick network`: the network that the home folder belongs to. */
import type { Command } from "commander";
import { surroundings } from "../surroundings.ts";

export function registerNetwork(program: Command): void {
  const network = program
    .command("network")
    .description("show or forget the network that the home folder belongs to")
    .addHelpText("after", "\nExample:\n  $ tallystick network show");
  registerShow(network);
  registerForget(network);
}

function registerShow(network: Command): void {
  network
    .command("show")
    .description("show the network that the home folder was first used with")
    .addHelpText("after", "\nExample:\n  $ tallystick network show")
    .action(async (_options: unknown, command: Command) => {
      const { output, homeDir } = surroundings(command);
      const { pinPath, readPin } = await import("../../agent/node/network-pin.ts");
      const pin = readPin(homeDir);
      output.result(
        { pinned: pin ?? null },
        pin === undefined
          ? []
          : aligned([
              ["chain id", String(pin.chainId)],
              ...Object.entries(pin.contracts),
              ["committee", pin.committeeId === "0" ? "the active one" : pin.committeeId],
              ...Object.entries(pin.committeeKeys ?? {}).map(([purpose, key]): [string, string] => [
                `${purpose} key`,
                key,
              ]),
              ["deployed", `in block ${pin.deploymentBlock.number}, ${pin.deploymentBlock.hash}`],
              ["file", pinPath(homeDir)],
            ]),
      );
      if (pin === undefined) output.say("tallystick: this home folder has not been used with a network yet");
    });
}

/** The values one below the other. */
function aligned(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
}

function registerForget(network: Command): void {
  network
    .command("forget")
    .description("let the next command use this home folder with another network")
    .addHelpText(
      "after",
      "\nThe list of stored data and the journal of data sets stay. They still refer to the previous network.\n\n" +
        "Example:\n  $ tallystick network forget",
    )
    .action(async (_options: unknown, command: Command) => {
      const { output, homeDir } = surroundings(command);
      const { forgetNetwork } = await import("../../agent/node/network-pin.ts");
      const forgotten = forgetNetwork(homeDir);
      output.result({ forgotten }, [
        forgotten
          ? "the network is forgotten; the next command that uses one belongs to it from then on"
          : "this home folder has not been used with a network yet",
      ]);
    });
}
