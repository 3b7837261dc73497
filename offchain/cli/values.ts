/** Parsers of option values. They say what they expected. */

import { InvalidArgumentError } from "commander";
import { checksumAddress } from "../core/encoding/address.ts";
import { parseAmount, type WrittenAmount } from "../core/encoding/amounts.ts";
import { fromHex } from "../core/encoding/hex.ts";

/** @returns a parser of whole numbers from 1 to 2^31 − 1 */
export function wholeNumber(option: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d{1,10}$/.test(text) || value < 1 || value > 2_147_483_647) {
      throw new InvalidArgumentError(`${option} takes a whole number from 1.`);
    }
    return value;
  };
}

/** @returns a parser of port numbers */
export function portNumber(option: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d{1,5}$/.test(text) || value < 1 || value > 65_535) {
      throw new InvalidArgumentError(`${option} takes a number from 1 to 65535.`);
    }
    return value;
  };
}

/** @returns a parser of amounts in the smallest unit of any token, or of the chain's coin in ether; see `amountIn` */
export function anyAmount(option: string): (text: string) => WrittenAmount {
  return (text) => {
    const amount = parseAmount(text);
    if (amount !== undefined) return amount;
    throw new InvalidArgumentError(`${option} takes ether as 0.1ETH, or a whole number of wei.`);
  };
}

/** @returns a parser of amounts of the chain's coin, in wei or in ether */
export function coinAmount(option: string): (text: string) => bigint {
  const parse = anyAmount(option);
  return (text) => parse(text).value;
}

/** @returns a parser of amounts in the smallest unit, wei for the chain's coin */
export function amountInWei(option: string): (text: string) => bigint {
  return (text) => {
    if (!/^\d{1,78}$/.test(text)) throw new InvalidArgumentError(`${option} takes a whole number of wei.`);
    return BigInt(text);
  };
}

/** @returns a parser of sizes such as 500MiB or 2TiB, in bytes; without a unit, bytes */
export function sizeInBytes(option: string): (text: string) => number {
  return (text) => {
    const [, digits = "", unit = ""] = /^(\d{1,15}(?:\.\d{1,3})?) ?([KMGT]?)(?:iB|B)?$/.exec(text) ?? [];
    const value = Math.round(Number(digits) * 1024 ** " KMGT".indexOf(unit || " "));
    if (digits === "" || value < 1 || !Number.isSafeInteger(value)) {
      throw new InvalidArgumentError(`${option} takes a size such as 500MiB, 40GiB or 2TiB.`);
    }
    return value;
  };
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** @returns a parser of durations such as 12h, 3d or 2w, in seconds */
export function duration(option: string): (text: string) => number {
  return (text) => {
    const [, digits = "", unit = ""] = /^(\d{1,9})([smhdw]?)$/.exec(text) ?? [];
    const length = text === "0" ? 0 : UNIT_SECONDS[unit];
    if (digits === "" || length === undefined) {
      throw new InvalidArgumentError(`${option} takes a duration such as 90m, 12h, 3d or 2w.`);
    }
    return Number(digits) * length;
  };
}

/** @returns a parser of byte strings of one length, as 0x and hex digits, in lower case */
export function hexBytes(what: string, bytes: number): (text: string) => string {
  return (text) => {
    if (/^0x[0-9a-fA-F]+$/.test(text) && text.length === 2 + 2 * bytes) return text.toLowerCase();
    throw new InvalidArgumentError(`${what} is 0x and ${2 * bytes} hex digits.`);
  };
}

/** Appends values of an option that may be repeated, each a list separated by commas. */
export function commaList(text: string, before: readonly string[] = []): string[] {
  return [...before, ...text.split(",").filter((value) => value !== "")];
}

/** @returns a time, of this machine's zone unless the text names one @throws InvalidArgumentError */
export function timeOption(text: string): Date {
  const time = new Date(/^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00` : text.replace(" ", "T"));
  if (Number.isNaN(time.getTime()) || !/^\d{4}-\d{2}-\d{2}/.test(text)) {
    throw new InvalidArgumentError("A time is 2026-01-31, '2026-01-31 18:30:00' or 2026-01-31T18:30:00Z.");
  }
  return time;
}

/** @returns an address with its checksum @throws InvalidArgumentError when it is none, or its checksum is wrong */
export function address(text: string): string {
  if (!/^0x[0-9a-fA-F]{40}$/.test(text)) throw new InvalidArgumentError("An address is 0x and 40 hex digits.");
  const checked = checksumAddress(fromHex(text));
  const hasChecksum = /[a-f]/.test(text.slice(2)) && /[A-F]/.test(text);
  if (hasChecksum && checked !== text)
    throw new InvalidArgumentError("The checksum of the address is wrong: look for a typing error.");
  return checked;
}

/** Appends addresses of an option that may be repeated, each a list separated by commas. */
export function addressList(text: string, before: readonly string[] = []): string[] {
  return commaList(text, before).map(address);
}

/** @returns the id of a data set, or its beginning, in lower case @throws InvalidArgumentError for another text */
export function dataSetId(text: string): string {
  if (/^0x[0-9a-fA-F]{4,64}$/.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError(
    "A data set is named by its id, or the first digits of it: `tallystick data-set ls` shows them.",
  );
}

/** A point of time, as a message that is signed has it. */
export function unixSeconds(text: string): bigint {
  if (/^\d{1,15}$/.test(text)) return BigInt(text);
  throw new InvalidArgumentError("A deadline is a number of seconds since 1970, as the command has printed it.");
}

/** A signature of any length: a contract wallet says what it accepts. */
export function signature(text: string): string {
  if (/^0x(?:[0-9a-fA-F]{2})+$/.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError("A signature is 0x and an even number of hex digits.");
}
