/** Names of users and groups by number, from the system's own files. Directories of a network are not asked. */
import { readFileSync } from "node:fs";

const USERS = "/etc/passwd";
const GROUPS = "/etc/group";

/** Reads each file once, when it is first asked for. */
export class OwnerNames {
  #users: ReadonlyMap<number, string> | undefined;
  #groups: ReadonlyMap<number, string> | undefined;
  readonly #files: { readonly users: string; readonly groups: string };

  constructor(files = { users: USERS, groups: GROUPS }) {
    this.#files = files;
  }

  user(uid: number): string | undefined {
    this.#users ??= namesIn(this.#files.users);
    return this.#users.get(uid);
  }

  group(gid: number): string | undefined {
    this.#groups ??= namesIn(this.#files.groups);
    return this.#groups.get(gid);
  }

  /** The number that a name has here; undefined when there is no such name. */
  uidOf(user: string): number | undefined {
    this.#users ??= namesIn(this.#files.users);
    return numberOf(this.#users, user);
  }

  gidOf(group: string): number | undefined {
    this.#groups ??= namesIn(this.#files.groups);
    return numberOf(this.#groups, group);
  }
}

/** Lines of `name:password:number:…`. A system without the file has numbers only. */
function namesIn(file: string): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return names;
  }
  for (const line of text.split("\n")) {
    const [name, , number] = line.split(":");
    if (name === undefined || name === "" || number === undefined || !/^\d+$/.test(number)) continue;
    // As the system does it: the first of several names of one number.
    if (!names.has(Number(number))) names.set(Number(number), name);
  }
  return names;
}

function numberOf(names: ReadonlyMap<number, string>, wanted: string): number | undefined {
  for (const [number, name] of names) if (name === wanted) return number;
  return undefined;
}
