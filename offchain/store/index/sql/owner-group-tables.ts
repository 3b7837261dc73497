/** Tables of ownership groups, which `owner-groups.ts` queries. */
import type { MemberState } from "../owner-group-index.ts";
import type { TableDefinitions } from "./column-types.ts";

export interface OwnerGroupTables {
  owner_groups: {
    group_id: Uint8Array;
    digest: Uint8Array;
    founder: string;
    nonce: Uint8Array;
    rejoin: string;
    objects: Uint8Array;
    epoch: number;
    salt: Uint8Array;
    group_key: Uint8Array;
    message_digest: Uint8Array;
    next_node: number;
    members: number;
  };
  group_nodes: { group_id: Uint8Array; node: number; encoded: Uint8Array };
  group_members: {
    group_id: Uint8Array;
    account: string;
    digest: Uint8Array;
    state: MemberState;
    secret: Uint8Array | null;
    since: number;
  };
  group_rekeys: { group_id: Uint8Array; epoch: number; encoded: Uint8Array };
  group_stub_files: { group_id: Uint8Array; epoch: number; sealed: Uint8Array };
}

/**
 * A migration of its own. The stub file is not in the row of its group, which every change of owners writes. An account
 * is a member of one group of a put at most.
 */
export const OWNER_GROUP_TABLES: TableDefinitions = ({ bytes, integer, clustered }) => [
  `CREATE TABLE owner_groups (
    group_id ${bytes} NOT NULL PRIMARY KEY,
    digest ${bytes} NOT NULL,
    founder TEXT NOT NULL,
    nonce ${bytes} NOT NULL,
    rejoin TEXT NOT NULL CHECK (rejoin IN ('proof', 'founder')),
    objects ${bytes} NOT NULL,
    epoch ${integer} NOT NULL CHECK (epoch > 0),
    salt ${bytes} NOT NULL,
    group_key ${bytes} NOT NULL,
    message_digest ${bytes} NOT NULL,
    next_node ${integer} NOT NULL,
    members ${integer} NOT NULL CHECK (members > 0)
  ) ${clustered}`,
  "CREATE INDEX owner_groups_by_founder ON owner_groups (founder)",
  `CREATE TABLE group_nodes (
    group_id ${bytes} NOT NULL REFERENCES owner_groups (group_id),
    node ${integer} NOT NULL,
    encoded ${bytes} NOT NULL,
    PRIMARY KEY (group_id, node)
  ) ${clustered}`,
  `CREATE TABLE group_members (
    group_id ${bytes} NOT NULL REFERENCES owner_groups (group_id),
    account TEXT NOT NULL,
    digest ${bytes} NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('member', 'revoked')),
    secret ${bytes},
    since ${integer} NOT NULL,
    PRIMARY KEY (group_id, account)
  ) ${clustered}`,
  "CREATE UNIQUE INDEX group_members_by_put ON group_members (account, digest) WHERE state = 'member'",
  `CREATE TABLE group_rekeys (
    group_id ${bytes} NOT NULL REFERENCES owner_groups (group_id),
    epoch ${integer} NOT NULL,
    encoded ${bytes} NOT NULL,
    PRIMARY KEY (group_id, epoch)
  ) ${clustered}`,
  `CREATE TABLE group_stub_files (
    group_id ${bytes} NOT NULL PRIMARY KEY REFERENCES owner_groups (group_id),
    epoch ${integer} NOT NULL CHECK (epoch > 0),
    sealed ${bytes} NOT NULL
  )`,
];
