/** Parsers of option values. They say what they expected. */
import { InvalidArgumentError } from "commander";

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

/** @returns an agreement id @throws InvalidArgumentError when the text is not a whole number */
export function agreementId(text: string): bigint {
  if (!/^\d{1,78}$/.test(text)) throw new InvalidArgumentError("An agreement id is a whole number.");
  return BigInt(text);
}
