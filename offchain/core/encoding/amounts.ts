/** Amounts of money as people read and write them. */
import { InvalidInputError } from "../errors.ts";

/** The address that stands for the chain's coin. */
const COIN = `0x${"0".repeat(40)}`;
const DECIMALS = 18;

/** An amount in the token's smallest unit. @param isEther it was written in ether, so it is one of the chain's coin */
export interface WrittenAmount {
  readonly value: bigint;
  readonly isEther: boolean;
}

export function formatEther(wei: bigint): string {
  const whole = wei / 10n ** 18n;
  const fraction = (wei % 10n ** 18n).toString().padStart(DECIMALS, "0").replace(/0+$/, "");
  return `${whole}${fraction ? `.${fraction}` : ""} ETH`;
}

/** Amounts of the chain's coin in ether; those of a token in its smallest unit, whose decimals only the token knows. */
export function formatAmount(value: bigint, token: string): string {
  return token === COIN ? formatEther(value) : `${value} of ${token}`;
}

/** @returns undefined for what is neither a whole number nor a number of ETH with at most 18 decimals */
export function parseAmount(text: string): WrittenAmount | undefined {
  if (/^\d{1,78}$/.test(text)) return { value: BigInt(text), isEther: false };
  const [, whole, fraction = ""] = /^(\d{1,60})(?:\.(\d{1,18}))? ?ETH$/i.exec(text) ?? [];
  if (whole === undefined) return undefined;
  return { value: BigInt(whole + fraction.padEnd(DECIMALS, "0")), isEther: true };
}

/**
 * An amount of a token, in its smallest unit.
 * @param name of the argument, for errors
 * @throws InvalidInputError for ether when the token is another one
 */
export function amountIn({ value, isEther }: WrittenAmount, token: string | undefined, name: string): bigint {
  if (!isEther || token === undefined || token === COIN) return value;
  throw new InvalidInputError(`${name} is in ETH, and the token is another one`, {
    party: "you",
    check: name,
    expected: "a whole number, in the token's smallest unit",
    received: formatEther(value),
  });
}
