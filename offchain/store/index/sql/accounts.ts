/** Accounts and tokens in the one form in which they are stored and compared. */
import { ADDRESS_BYTES, checksumAddress } from "../../../core/encoding/address.ts";
import { fromHex } from "../../../core/encoding/hex.ts";

/**
 * @returns the address with the checksum of EIP-55, whatever the case of the letters given.
 * @throws InvalidInputError
 */
export function canonicalAddress(address: string): string {
  return checksumAddress(fromHex(address, ADDRESS_BYTES, "address"));
}
