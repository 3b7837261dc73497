/**
 * How often a daemon asks the chain about the signature of a contract wallet. Anybody can name a wallet and send
 * something that it has not signed, so what is asked in its name must not count against it: each account has a rate for
 * each network that asks, and one of its own for requests in its sessions.
 */

import { isIPv6 } from "node:net";
import { SharedRates } from "./quota.ts";

const PER_ACCOUNT = { scope: "checks by one contract wallet", capacity: 60, periodSeconds: 60 };
const IN_ALL = { scope: "checks by contract wallets", capacity: 300, periodSeconds: 60 };

/** Where the request with the signature comes from. */
export type SignatureSource =
  /** In a session of the account, so that nobody else sent it. */
  | "session"
  /** From an address, whose sender is not known before the signature is checked. */
  | { readonly address: string };

export class WalletChecks {
  readonly #rates: SharedRates;

  /** @param now milliseconds that never go back */
  constructor(now?: () => number) {
    this.#rates = new SharedRates(PER_ACCOUNT, IN_ALL, now);
  }

  /** Takes one check. @throws TallystickError RATE_LIMITED */
  take(account: string, source: SignatureSource): void {
    const from = source === "session" ? "in its sessions" : `from ${networkOf(source.address)}`;
    this.#rates.take(`account ${account} ${from}`);
  }
}

/** One customer of a provider: an IPv4 address, the upper half of an IPv6 address. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [plain = ""] = address.split("%");
  if (!isIPv6(plain)) return address;
  const [head = "", tail] = plain.split("::");
  const words = (text: string | undefined) => (text === undefined || text === "" ? [] : text.split(":"));
  const upper = words(head);
  // What "::" stands for is zeros; the lower words do not matter.
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - upper.length - words(tail).length);
  const all = [...upper, ...Array<string>(zeros).fill("0"), ...words(tail)];
  return `${all
    .slice(0, 4)
    .map((word) => word.toLowerCase().replace(/^0+(?=.)/, ""))
    .join(":")}::/64`;
}
