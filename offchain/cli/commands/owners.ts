/** `tallystick owners`: who reads the stub file of a revocable put. */
import { type Command, Option } from "commander";
import type { ChangedGroup, GroupsReport, ListedGroup, OwnerGroupView } from "../../agent/stubs/owner-groups.ts";
import { counted } from "../../core/encoding/counted.ts";
import type { RejoinPolicy } from "../../core/wire/owner-groups.ts";
import type { AgentSession } from "../agent-session.ts";
import { formatTime, printable } from "../output.ts";
import { withAgent } from "../session.ts";
import { address } from "../values.ts";

const SNAPSHOT = "beginning of an id, latest, latest:<host> or a data id of a put with --revocable";

/** What the founder has chosen for owners that it revokes. A proof is an account's: nothing ties accounts to people. */
const REJOIN_TEXTS: Readonly<Record<RejoinPolicy, string>> = {
  founder: "a revoked address joins again once the founder readmits it; another address that proves ownership may join",
  proof: "a revoked address joins again by proving ownership anew",
};

export function registerOwners(program: Command): void {
  const owners = program
    .command("owners")
    .description("share a revocable put with other accounts that have put it, and revoke them")
    .addHelpText("after", "\nExample:\n  $ tallystick owners list latest");
  registerCreate(owners);
  registerJoin(owners);
  registerListOwners(owners);
  registerRevoke(owners);
  registerReadmit(owners);
  registerLeave(owners);
  registerClose(owners);
}

function registerCreate(owners: Command): void {
  owners
    .command("create")
    .description("found an ownership group of a put; its id lets other accounts that have put the same files join")
    .argument("<snapshot>", SNAPSHOT)
    .addOption(
      new Option(
        "--rejoin <policy>",
        "how a revoked owner may join again: `proof`, by proving ownership; `founder`, only once it is readmitted",
      )
        .choices(["founder", "proof"] as const)
        .default("founder"),
    )
    .addHelpText(
      "after",
      "\nA revocation binds the address of an account, with either policy: a person that has the files and the id\n" +
        "of the group can join it from another account.\n\nExample:\n  $ tallystick owners create latest",
    )
    .action(async (place: string, { rejoin }: { rejoin: "founder" | "proof" }, command: Command) => {
      await withAgent(command, async (session) => {
        const { agent, signal } = session;
        tell(session, await agent.owners.create(place, { rejoin, signal }), groupLines);
      });
    });
}

function registerJoin(owners: Command): void {
  owners
    .command("join")
    .description("join an ownership group; the provider challenges this account to prove that it has the put")
    .argument("<group>", "id of the group, from its founder")
    .addHelpText(
      "after",
      "\nOnce the group's stub file has the stubs of this account's own, its own at that provider is removed: from\n" +
        "then on the account reads the put while it is in the group. If the command is interrupted, run it again.\n\n" +
        `Example:\n  $ tallystick owners join 0x${"5f".repeat(32)}`,
    )
    .action(async (group: string, _options: unknown, command: Command) => {
      await withAgent(command, async (session) => {
        const { agent, signal } = session;
        tell(session, await agent.owners.join(group, { signal }), changeLines);
      });
    });
}

function registerListOwners(owners: Command): void {
  owners
    .command("list")
    .description("show the ownership groups of a put that this account is in, and the owners of those that it founded")
    .argument("<snapshot>", SNAPSHOT)
    .addHelpText("after", "\nExample:\n  $ tallystick owners list latest")
    .action(async (place: string, _options: unknown, command: Command) => {
      await withAgent(command, async (session) => {
        const { agent, signal } = session;
        tell(session, await agent.owners.list(place, { signal }), listedLines);
      });
    });
}

function registerRevoke(owners: Command): void {
  owners
    .command("revoke")
    .description("revoke an owner: it gets nothing new with its keys and sessions; what it read stays read")
    .argument("<snapshot>", SNAPSHOT)
    .argument("<account>", "address of the owner", address)
    .addHelpText(
      "after",
      "\nThe group gets a new key, which is sealed for all other members (`rekey messages`). An owner that is still\n" +
        "`joining` keeps its own stub file. The address alone is revoked, not the person.\n" +
        `\nExample:\n  $ tallystick owners revoke latest 0x${"7a".repeat(20)}`,
    )
    .action(async (place: string, account: string, _options: unknown, command: Command) => {
      await withAgent(command, async (session) => {
        const { agent, signal } = session;
        tell(session, await agent.owners.revoke(place, account, { signal }), changeLines);
      });
    });
}

function registerReadmit(owners: Command): void {
  owners
    .command("readmit")
    .description("let a revoked owner join again; it proves ownership as before")
    .argument("<snapshot>", SNAPSHOT)
    .argument("<account>", "address of the revoked owner", address)
    .addHelpText("after", `\nExample:\n  $ tallystick owners readmit latest 0x${"7a".repeat(20)}`)
    .action(async (place: string, account: string, _options: unknown, command: Command) => {
      await withAgent(command, async (session) => {
        const { agent, signal } = session;
        tell(session, await agent.owners.readmit(place, account, { signal }), changeLines);
      });
    });
}

function registerLeave(owners: Command): void {
  owners
    .command("leave")
    .description("leave the ownership groups of a put; the same put then makes a stub file of this account's own")
    .argument("<snapshot>", SNAPSHOT)
    .addHelpText("after", "\nExample:\n  $ tallystick owners leave latest")
    .action(async (place: string, _options: unknown, command: Command) => {
      await withAgent(command, async (session) => {
        const { agent, signal } = session;
        tell(session, await agent.owners.leave(place, { signal }), changeLines);
      });
    });
}

function registerClose(owners: Command): void {
  owners
    .command("close")
    .description("close the ownership groups that this account founded; the other owners lose the stub file")
    .argument("<snapshot>", SNAPSHOT)
    .addHelpText("after", "\nExample:\n  $ tallystick owners close latest")
    .action(async (place: string, _options: unknown, command: Command) => {
      await withAgent(command, async (session) => {
        const { agent, signal } = session;
        tell(session, await agent.owners.close(place, { signal }), groupLines);
      });
    });
}

function groupLines({ provider, groupId, founder, rejoin, epoch, members, isFounder }: OwnerGroupView): string[] {
  return [
    `  group      ${groupId}`,
    `    provider ${provider}`,
    `    founder  ${founder}${isFounder ? ", this account" : ""}`,
    `    ${counted(members, "member")}, epoch ${epoch} of the group's key`,
    `    ${REJOIN_TEXTS[rejoin]}`,
  ];
}

function listedLines({ owners, isJoining, ...group }: ListedGroup): string[] {
  const lines = owners.map(({ account, state, since }) => {
    return `    ${state.padEnd(8)} ${account}, ${formatTime(since * 1000)}`;
  });
  const notes = [
    ...(isJoining ? [`    this account is still joining: \`tallystick owners join ${group.groupId}\` goes on`] : []),
    ...(owners.some(({ state }) => state === "joining")
      ? ["    joining: it still has a stub file of its own, which a revocation does not take away"]
      : []),
  ];
  return [...groupLines(group), ...lines, ...notes];
}

function changeLines({ provider, groupId, epoch, members, messages, rewrittenBytes }: ChangedGroup): string[] {
  const isChanged = rewrittenBytes > 0;
  return [
    `  group      ${groupId}`,
    `    provider ${provider}`,
    `    ${counted(members, "member")}, epoch ${epoch} of the group's key`,
    isChanged
      ? `    the group has a new key, sealed for its members in ${counted(messages, "rekey message")}`
      : "    the group's key has not changed",
  ];
}

/** Prints a report; providers that failed make the command incomplete. */
function tell<View>(
  { output, incomplete }: Pick<AgentSession, "output" | "incomplete">,
  { dataId, groups, failures }: GroupsReport<View>,
  linesOf: (group: View) => readonly string[],
): void {
  output.result({ dataId, groups, failures }, [dataId, ...groups.flatMap(linesOf)]);
  if (failures.length === 0) return;
  for (const { provider, error } of failures) {
    output.problem(`tallystick: provider ${provider}: ${printable(error.message)}`);
  }
  output.problem("tallystick: hint: nothing was changed there: run the command again");
  incomplete();
}
