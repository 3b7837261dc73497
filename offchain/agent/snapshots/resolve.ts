/**
 * What a person writes for a snapshot, and for a place in it:
 *
 *   1a2b3c4d          the snapshot whose id begins so
 *   latest            the newest snapshot; one of the future only where there is no other
 *   latest:laptop     the newest snapshot of a host
 *   latest:0x1a2b…    the newest snapshot of a device that only writes
 *   bafkrei…          a data id: the newest snapshot of it, or the data itself where no snapshot names it
 *   <snapshot>:path   a file or folder in it
 *
 * After `latest:`, the name of a host that has snapshots comes before a path of the same name.
 *
 * Snapshots of a device that only writes stand behind the account's own, since whoever has stolen the device names any
 * host and time: they are meant where there is no other, and a host that several devices name is no name of one.
 */

import { isAddressEqual } from "../../core/encoding/address.ts";
import { CONTENT_ID_LENGTH } from "../../core/encoding/content-id.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { checkPath, pathToBytes } from "../../core/recipe/path-name.ts";
import { SNAPSHOT_ID_LENGTH, type Snapshot } from "../../core/snapshot/snapshot.ts";

/** Characters of an id that are shown; enough to tell snapshots of one account apart. */
export const SHORT_ID_LENGTH = 8;
/** Shortest prefix that is taken for one. */
const SHORTEST_PREFIX = 2;
const DATA_ID = new RegExp(`^bafkrei[a-z2-7]{${CONTENT_ID_LENGTH - 7}}$`);
const PREFIX = new RegExp(`^[0-9a-f]{${SHORTEST_PREFIX},${SNAPSHOT_ID_LENGTH}}$`);
const LATEST = "latest";

/** A snapshot, or data that no snapshot names; and perhaps a place in it. */
export interface ResolvedPlace<Found extends Snapshot = Snapshot> {
  readonly dataId: string;
  readonly snapshot?: Found;
  /** Path in the put, without a slash at its ends. Absent for all of it. */
  readonly path?: string;
}

/** The data id in a text, if it names one: such data is found without a list of snapshots. */
export function dataIdIn(text: string): string | undefined {
  const { head } = cut(text);
  return DATA_ID.test(head) ? head : undefined;
}

/**
 * @param snapshots all that there are
 * @throws InvalidInputError for a malformed name, or a prefix that several ids begin with
 * @throws TallystickError NOT_FOUND
 */
export function resolvePlace<Found extends Snapshot>(text: string, snapshots: readonly Found[]): ResolvedPlace<Found> {
  const { head, rest } = cut(text);
  if (head === LATEST) return resolveLatest(rest, snapshots);
  const path = pathOf(rest);
  if (DATA_ID.test(head)) {
    const snapshot = newest(ownFirst(snapshots.filter(({ dataId }) => dataId === head)));
    return { dataId: head, ...(snapshot === undefined ? {} : { snapshot }), ...path };
  }
  if (!PREFIX.test(head)) throw malformed(text);
  const found = snapshots.filter(({ id }) => id.startsWith(head));
  const [snapshot, other] = found;
  if (snapshot === undefined) throw notFound(`no snapshot has an id that begins with ${head}`, head);
  if (other !== undefined) throw ambiguous(head, found);
  return { dataId: snapshot.dataId, snapshot, ...path };
}

function resolveLatest<Found extends Snapshot>(
  rest: string | undefined,
  snapshots: readonly Found[],
): ResolvedPlace<Found> {
  const { head: host, rest: afterHost } = cut(rest ?? "");
  const ofHost = rest === undefined ? [] : namedBy(host, snapshots);
  const snapshot = newest(ofHost.length > 0 ? ofHost : ownFirst(snapshots));
  if (snapshot === undefined) throw notFound("there is no snapshot", LATEST);
  return { dataId: snapshot.dataId, snapshot, ...pathOf(ofHost.length > 0 ? afterHost : rest) };
}

/** The account's own, or all where it has none. */
function ownFirst<Found extends Snapshot>(snapshots: readonly Found[]): readonly Found[] {
  const own = snapshots.filter(({ device }) => device === undefined);
  return own.length > 0 ? own : snapshots;
}

/** @throws InvalidInputError for a host that several devices name */
function namedBy<Found extends Snapshot>(name: string, snapshots: readonly Found[]): readonly Found[] {
  const ofDevice = snapshots.filter(({ device }) => device !== undefined && isAddressEqual(device, name));
  if (ofDevice.length > 0) return ofDevice;
  const ofHost = ownFirst(snapshots.filter(({ host }) => host === name));
  const devices = [...new Set(ofHost.flatMap(({ device }) => (device === undefined ? [] : [device])))];
  if (devices.length < 2) return ofHost;
  throw new InvalidInputError(`several devices name the host ${name}`, {
    party: "you",
    check: "host",
    expected: "the address of one of the devices, as in latest:0x…",
    received: devices.slice(0, 4).join(", "),
  });
}

/** Clocks of two devices may differ by so much. */
const TOLERANCE_MILLIS = 10 * 60_000;

/**
 * The newest; of several of one time, the one appended last. One of the future, made with a wrong clock or `--time`,
 * stands behind all others.
 */
export function newest<Found extends Snapshot>(
  snapshots: readonly Found[],
  nowMillis: number = Date.now(),
): Found | undefined {
  const past = snapshots.filter(({ timeMillis }) => timeMillis <= nowMillis + TOLERANCE_MILLIS);
  return (past.length > 0 ? past : snapshots).reduce<Found | undefined>(
    (latest, one) => (latest === undefined || one.timeMillis >= latest.timeMillis ? one : latest),
    undefined,
  );
}

function cut(text: string): { head: string; rest?: string } {
  const colon = text.indexOf(":");
  return colon === -1 ? { head: text } : { head: text.slice(0, colon), rest: text.slice(colon + 1) };
}

/** @throws InvalidInputError for a path that no put can have */
function pathOf(text: string | undefined): { path?: string } {
  const path = (text ?? "").replace(/^(?:\.?\/+)+/, "").replace(/\/+$/, "");
  if (path === "" || path === ".") return {};
  checkPath(pathToBytes(path));
  return { path };
}

function malformed(text: string): InvalidInputError {
  return new InvalidInputError("this names no snapshot", {
    party: "you",
    check: "snapshot",
    expected: "the beginning of a snapshot id, latest, latest:<host> or a data id, and perhaps :<path>",
    received: JSON.stringify(text.slice(0, 80)),
    hint: "list the snapshots with `tallystick snapshots`",
  });
}

function notFound(message: string, received: string): TallystickError {
  return new TallystickError(message, {
    code: "NOT_FOUND",
    party: "you",
    check: "snapshot",
    received,
    hint: "list the snapshots with `tallystick snapshots`",
  });
}

function ambiguous(prefix: string, found: readonly Snapshot[]): InvalidInputError {
  const shown = found.slice(0, 4).map(({ id }) => id.slice(0, Math.max(SHORT_ID_LENGTH, prefix.length + 4)));
  return new InvalidInputError(`several snapshots have ids that begin with ${prefix}`, {
    party: "you",
    check: "snapshot",
    expected: "more digits of the id",
    received: `${shown.join(", ")}${found.length > 4 ? ", …" : ""}`,
  });
}
