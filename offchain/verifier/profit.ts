/** Whether a transaction pays for itself. Amounts in wei unless a token is named. */

const WEI_PER_ETHER = 10n ** 18n;

/**
 * What an amount of a token is worth.
 * @param unitsPerEther smallest units of a token that are worth one ether, by address in lower case
 * @returns wei; 0 for a token without a price
 */
export function worthOf(amount: bigint, token: string, unitsPerEther: ReadonlyMap<string, bigint>): bigint {
  if (/^0x0+$/.test(token)) return amount;
  const units = unitsPerEther.get(token.toLowerCase());
  return units === undefined ? 0n : (amount * WEI_PER_ETHER) / units;
}

/**
 * The highest fee per unit of gas at which a transaction leaves the wanted profit.
 * @param minimumProfit may be negative: what a loss may be
 * @returns wei per unit of gas; 0 when there is none
 */
export function affordableFee(worth: bigint, minimumProfit: bigint, gas: bigint): bigint {
  const left = worth - minimumProfit;
  return left <= 0n || gas <= 0n ? 0n : left / gas;
}
