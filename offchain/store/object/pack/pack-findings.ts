/** What can be wrong with a folder of packs, as a start and `tallystick-csp check` report it. */

export type PackDamage =
  /** Bytes of an object are not what was stored. */
  | "object damaged"
  /** Bytes in the middle of a pack are no record. */
  | "record unreadable"
  /** The index has an object where the pack has none. */
  | "object missing"
  /** Bytes after the last complete record: a write that a crash cut off. Nothing that was acknowledged. */
  | "torn tail"
  | "pack missing"
  | "pack too short"
  | "pack header damaged"
  | "pack contents damaged"
  /** A pack that the index does not know, or knows as another one. */
  | "pack unknown"
  /** A file in the folder that is no pack. */
  | "foreign file"
  | "index damaged"
  /** The index has no entry, or another place, for an object that a pack holds. */
  | "index entry wrong";

export interface PackFinding {
  readonly damage: PackDamage;
  /** File name of the pack, or of the other file. */
  readonly file: string;
  /** Object that is concerned. */
  readonly id?: string;
  readonly offset?: number;
  readonly bytes?: number;
  /** How many objects are concerned, where they are not listed one by one. */
  readonly objects?: number;
  readonly detail?: string;
}

export type Report = (finding: PackFinding) => void;
