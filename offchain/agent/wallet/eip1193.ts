/**
 * Wallets of pages and programs (EIP-1193) as signers of keystores. What a wallet answers is checked; its errors become
 * typed ones. A wallet waits for a person, so there is no timeout.
 */
import { checksumAddress, isAddressEqual } from "../../core/encoding/address.ts";
import { fromHex } from "../../core/encoding/hex.ts";
import { type ErrorFacts, TallystickError } from "../../core/errors.ts";
import type { WalletSigner } from "../../core/identity/wallet-signature.ts";

/** The part of EIP-1193 that is used: what `window.ethereum`, or a wallet of EIP-6963, is. */
export interface Eip1193Provider {
  request(args: { readonly method: string; readonly params?: readonly unknown[] }): Promise<unknown>;
}

const PARTY = "wallet";
const LONGEST_MESSAGE = 200;
/** A signature of a wallet with a key has 132 characters; more than this is read from no wallet. */
const LONGEST_SIGNATURE = 16_384;

/**
 * @param provider asked for its accounts (`eth_requestAccounts`) once per call of `accounts`, and for signatures
 *   (`eth_signTypedData_v4`)
 */
export function eip1193Signer(provider: Eip1193Provider): WalletSigner {
  return {
    accounts: async () => await accountsOf(provider),
    sign: async (wallet, message) => {
      const params = [wallet, JSON.stringify(message)];
      const answer = await ask(provider, "eth_signTypedData_v4", params);
      if (typeof answer === "string" && answer.length <= LONGEST_SIGNATURE) return answer;
      throw nonsense("eth_signTypedData_v4", "a signature");
    },
  };
}

async function accountsOf(provider: Eip1193Provider): Promise<readonly string[]> {
  let answer: unknown;
  try {
    answer = await ask(provider, "eth_requestAccounts");
  } catch (error) {
    // Local signers ask nobody for a permission, and need not know the method.
    if (!(error instanceof TallystickError) || error.code !== "WALLET_UNSUITABLE") throw error;
    answer = await ask(provider, "eth_accounts");
  }
  const accounts = Array.isArray(answer) ? answer.map(addressIn) : undefined;
  if (accounts === undefined || accounts.includes(undefined)) throw nonsense("eth_requestAccounts", "addresses");
  if (accounts.length > 0) return accounts.flatMap((account) => account ?? []);
  throw new TallystickError("the wallet has no account for this page or program", {
    code: "WALLET_UNAVAILABLE",
    party: PARTY,
    check: "accounts of the wallet",
    expected: "at least one",
    hint: "unlock the wallet, connect the account, and repeat",
  });
}

function addressIn(value: unknown): string | undefined {
  if (typeof value !== "string" || !/^0x[0-9a-fA-F]{40}$/.test(value)) return undefined;
  const checksummed = checksumAddress(fromHex(value.toLowerCase()));
  return isAddressEqual(checksummed, value) ? checksummed : undefined;
}

async function ask(provider: Eip1193Provider, method: string, params: readonly unknown[] = []): Promise<unknown> {
  try {
    return await provider.request({ method, params });
  } catch (error) {
    throw error instanceof TallystickError ? error : walletError(error, method);
  }
}

/** What the codes of EIP-1193, EIP-1474 and JSON-RPC mean here. */
function walletError(error: unknown, method: string): TallystickError {
  const { code, message } = Object(error) as { readonly code?: unknown; readonly message?: unknown };
  const received = [code, message].filter((fact) => typeof fact === "number" || typeof fact === "string").join(" ");
  const facts = { party: PARTY, check: method, received: received.slice(0, LONGEST_MESSAGE), cause: error };
  const [text, kind] = kindOf(code);
  return new TallystickError(text, { ...facts, ...kind });
}

function kindOf(code: unknown): readonly [message: string, facts: Pick<ErrorFacts, "code" | "hint" | "retryable">] {
  switch (code) {
    case 4001:
      return ["the request was refused in the wallet", { code: "WALLET_REFUSED", hint: "ask again when you want it" }];
    case 4100:
      return [
        "the wallet does not sign with this account here",
        { code: "WALLET_REFUSED", hint: "unlock the wallet and connect the account to this page or program" },
      ];
    case 4200:
    case -32601:
    case -32004:
      return [
        "the wallet does not know the method",
        { code: "WALLET_UNSUITABLE", hint: "use a wallet that signs typed data (EIP-712), or a passphrase" },
      ];
    case 4900:
    case 4901:
      return ["the wallet is disconnected", { code: "WALLET_UNAVAILABLE", hint: "connect it and repeat" }];
    case -32002:
      return [
        "the wallet has another request open",
        { code: "WALLET_UNAVAILABLE", hint: "open the wallet, answer the request, and repeat" },
      ];
    default:
      return [
        "the wallet failed",
        {
          code: "WALLET_UNAVAILABLE",
          retryable: false,
          hint: "see what it says; unlock it, and open the Ethereum application of a hardware wallet",
        },
      ];
  }
}

function nonsense(method: string, expected: string): TallystickError {
  return new TallystickError("the wallet answered outside its protocol", {
    code: "WALLET_UNSUITABLE",
    party: PARTY,
    check: method,
    expected,
    hint: "use another wallet",
  });
}
