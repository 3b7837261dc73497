/** The contract of EIP-2935, which keeps the hash of block n in slot n mod 8191. */

export const HISTORY = "0x0000F90827F1C53a10cb7A02335B175320002935";

/** Its code, as in the EIP. */
export const HISTORY_CODE =
  "0x3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611f" +
  "ff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500";
