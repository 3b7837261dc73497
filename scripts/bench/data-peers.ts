/**
 * The backup tools that Tallystick is measured against, as a person would call them, each with a repository of its own
 * in a folder. Neither is needed by the project otherwise.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { CommandPlan } from "./process-cost.ts";

const PASSWORD = "bench";

export interface PeerCommands {
  readonly create: CommandPlan;
  /** @param tag distinguishes snapshots of one repository */
  backup(source: string, tag: string, compress: boolean): CommandPlan;
  restore(tag: string, out: string): CommandPlan;
  /** Reads every stored byte and checks it. */
  check(): CommandPlan;
}

export interface Peer {
  readonly name: "borg" | "restic";
  readonly version: string;
  /** @param folder for its repository and everything it remembers; created */
  commands(folder: string): PeerCommands;
}

/** Version by which restored paths, options and defaults were written down here. */
const PEERS = [
  { name: "borg", debianPackage: "borgbackup", versionArgs: ["--version"], commands: borg },
  { name: "restic", debianPackage: "restic", versionArgs: ["version"], commands: restic },
] as const;

/** @param missing told of each tool that is absent, and how to install it */
export function findPeers(missing: (line: string) => void): Peer[] {
  return PEERS.flatMap(({ name, debianPackage, versionArgs, commands }) => {
    const { status, stdout } = spawnSync(name, versionArgs, { encoding: "utf8" });
    if (status === 0) return [{ name, version: /\d+(\.\d+)+/.exec(stdout)?.[0] ?? "unknown", commands }];
    missing(`${name} is absent: its bars cannot be met; on Debian: apt-get install ${debianPackage}`);
    return [];
  });
}

function borg(folder: string): PeerCommands {
  const repository = join(folder, "repository");
  mkdirSync(folder, { recursive: true });
  const plan = (args: readonly string[], cwd = folder): CommandPlan => ({
    command: "borg",
    args,
    cwd,
    env: {
      BORG_BASE_DIR: join(folder, "base"),
      BORG_PASSPHRASE: PASSWORD,
      BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes",
      LANG: "C.UTF-8",
    },
    logFile: join(folder, "log"),
  });
  return {
    create: plan(["init", "--encryption", "repokey-blake2", repository]),
    backup: (source, tag, compress) =>
      plan(["create", "--compression", compress ? "zstd" : "none", `${repository}::${tag}`, source]),
    restore: (tag, out) => plan(["extract", `${repository}::${tag}`], out),
    check: () => plan(["check", "--verify-data", repository]),
  };
}

function restic(folder: string): PeerCommands {
  const repository = join(folder, "repository");
  mkdirSync(folder, { recursive: true });
  const plan = (args: readonly string[]): CommandPlan => ({
    command: "restic",
    args: ["--repo", repository, "--cache-dir", join(folder, "cache"), ...args],
    env: { RESTIC_PASSWORD: PASSWORD },
    logFile: join(folder, "log"),
  });
  return {
    create: plan(["init"]),
    backup: (source, tag, compress) =>
      plan(["--compression", compress ? "auto" : "off", "backup", "--tag", tag, source]),
    restore: (tag, out) => plan(["restore", "latest", "--tag", tag, "--target", out]),
    check: () => plan(["check", "--read-data"]),
  };
}
