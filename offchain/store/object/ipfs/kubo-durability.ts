/**
 * Whether a Kubo node keeps a block that it has acknowledged when its machine crashes. Kubo asks its datastore to sync
 * before it answers a pin. The default datastore of blocks, flatfs, does nothing when asked (`Sync` of go-ds-flatfs
 * 0.6.1) and fsyncs each write only if its setting `sync` is true, which is not the default.
 */
import { InvalidInputError } from "../../../core/errors.ts";

/** Where Kubo keeps blocks within its datastore. */
const BLOCKS = "/blocks";

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The settings of the datastore that has the blocks: below any number of mounts, meters and logs. */
function blockDatastore(spec: unknown): Record<string, unknown> | undefined {
  if (!isRecord(spec)) return undefined;
  if (isRecord(spec.child)) return blockDatastore(spec.child);
  if (spec.type !== "mount") return spec;
  if (!Array.isArray(spec.mounts)) return undefined;
  const mounts = spec.mounts.filter(isRecord);
  return blockDatastore(
    mounts.find(({ mountpoint }) => mountpoint === BLOCKS) ?? mounts.find(({ mountpoint }) => mountpoint === "/"),
  );
}

/**
 * @param spec `Datastore.Spec` of Kubo's configuration
 * @throws InvalidInputError unless acknowledged blocks are on disk
 */
export function requireDurableBlocks(spec: unknown, service: string): void {
  const { type, sync, syncWrites } = blockDatastore(spec) ?? {};
  if (type === "flatfs" && sync === true) return;
  // These sync on request, and Kubo requests it before it acknowledges a pin.
  if (type === "pebbleds" || (type === "badgerds" && syncWrites === true)) return;
  throw new InvalidInputError(`${service} would lose acknowledged objects in a crash of its machine`, {
    party: service,
    check: "Datastore.Spec of the IPFS node",
    expected: "flatfs with sync true, or pebbleds",
    received: `${typeof type === "string" ? type : "another form"}${type === "flatfs" ? " with sync false" : ""}`,
    hint: 'stop the IPFS node, set "sync": true for "/blocks" in Datastore.Spec of its configuration, start it again',
  });
}
