/** What docs/errors.md says of each error code. Programs and pages do not carry it: errors have texts of their own. */
import type { ErrorCode } from "../../offchain/core/error-codes.ts";

export interface ErrorText {
  readonly meaning: string;
  readonly cause: string;
  readonly remedy: string;
}

export const ERROR_TEXTS: Readonly<Record<ErrorCode, ErrorText>> = {
  INVALID_INPUT: {
    meaning: "A value that was handed in is malformed or out of range.",
    cause: "A mistyped id or option, or a message that does not fit its schema.",
    remedy: "Correct the value; `expected` shows the form.",
  },
  UNKNOWN_VERSION: {
    meaning: "A recipe, record, key, envelope or file has a format version that this build does not read.",
    cause: "It was written by a newer Tallystick.",
    remedy: "Update Tallystick, or read it with the version that wrote it.",
  },
  WRONG_PASSPHRASE: {
    meaning: "The keystore did not open.",
    cause: "The passphrase is another one, or the file was altered.",
    remedy: "Try again. With the recovery phrase, `tallystick recover --home <new folder>` makes a new keystore.",
  },
  WRONG_WALLET: {
    meaning: "The keystore did not open with what a wallet signed.",
    cause:
      "Another account is selected in the wallet, the signature is over the message of another keystore, the wallet " +
      "signs differently than when it was added, or the file was altered.",
    remedy:
      "Select the account that `expected` names, and sign the message that `tallystick identity show` prints. The " +
      "passphrase, another wallet of the keystore, or the recovery phrase open the identity as well.",
  },
  WALLET_REFUSED: {
    meaning: "The wallet did not sign, because whoever uses it said no, or has not connected the account.",
    cause: "EIP-1193 errors 4001 (the request was refused) and 4100 (the account is not authorized).",
    remedy: "Connect the account in the wallet, and ask again when the person wants it.",
  },
  WALLET_UNAVAILABLE: {
    meaning: "The wallet cannot sign now.",
    cause:
      "It is locked, disconnected (EIP-1193 errors 4900 and 4901), has another request open (-32002), failed, or " +
      "does not answer at its address.",
    remedy: "Unlock or connect it, answer what it has open, and repeat.",
  },
  WALLET_UNSUITABLE: {
    meaning: "The wallet cannot open a keystore.",
    cause:
      "It signs the same message differently each time, as wallets do that share their key among several parties; it " +
      "is a contract; or it does not sign typed data (`eth_signTypedData_v4`).",
    remedy:
      "Use a wallet with a key of its own, such as a hardware wallet, or a passphrase. Any wallet, a contract as " +
      "well, can be named for recovery with `tallystick recovery protect`.",
  },
  NO_IDENTITY: {
    meaning: "There is no keystore in the home folder, or none where a daemon's configuration says (`keystoreFile`).",
    cause: "Neither `init` nor `recover` was run, or `--home` names another folder.",
    remedy:
      "Run `tallystick init`, or `tallystick recover` with your recovery phrase. For a daemon, run its `init` " +
      "(`tallystick-nbm`, `tallystick-csp` or `tallystick-verifier`).",
  },
  NO_DEPLOYMENT: {
    meaning: "No deployment file was found, or it does not fit the chain.",
    cause: "No devnet runs here, another chain answers at the address, or the contracts are not deployed there.",
    remedy: "Start `npm run devnet`, or pass `--deployment <file>`.",
  },
  WRONG_NETWORK: {
    meaning: "The deployment is not the network that this home folder was first used with.",
    cause: "Another deployment file was named or found, the file has changed, or a development chain was started anew.",
    remedy: "Use another folder with `--home`, or accept the new network with `tallystick network forget`.",
  },
  FILE_UNREADABLE: {
    meaning: "A local file could not be opened or read, or it vanished.",
    cause: "Missing permissions, or a file that was deleted while it was being stored.",
    remedy:
      "Correct the permissions or leave the file out. A file that was named itself ends the put, and nothing is " +
      "recorded; one below a folder is left out, and the exit code is 10.",
  },
  FILE_CHANGED: {
    meaning: "A local file changed while it was being read.",
    cause: "Another program writes to it.",
    remedy:
      "Nothing, if the file is one that is written to all the time: it is stored as it was read, with a remark, and " +
      "the exit code is 10. Otherwise run `put` again when no program writes to it. A file that another one replaced " +
      "before it was opened is left out, or ends the put if nothing else is left. So does a long file in key mode " +
      "`merkle` whose bytes differ when they are read a second time, and a stream or blob of another length.",
  },
  DISK_FULL: {
    meaning: "A write failed because no space is left.",
    cause: "The disk is full, a quota is used up, or a file has reached the permitted size.",
    remedy: "Free some space and repeat. What was acknowledged is not affected.",
  },
  DISK_FAILED: {
    meaning: "Local state, or an entry that is to be restored, could not be read or written.",
    cause:
      "Missing permissions, a failing disk, a read-only file system, or one that does not take the name or the kind " +
      "of an entry.",
    remedy: "Correct the cause that the message names and repeat.",
  },
  DATABASE_UNAVAILABLE: {
    meaning: "The database server of a daemon does not answer, or refuses the connection.",
    cause: "PostgreSQL is down, restarting, overloaded or out of reach, or the address or the password is wrong.",
    remedy: "Start it, or correct the address. The daemon goes on by itself when the server answers again.",
  },
  OBJECT_STORE_UNAVAILABLE: {
    meaning: "The service that keeps a provider's objects failed, or refuses access.",
    cause:
      "The IPFS node or the S3 service is down, overloaded or out of reach, or its credentials or settings are wrong.",
    remedy: "The message names service and object. Start it or correct the settings; nothing acknowledged is affected.",
  },
  INVALID_POINT: {
    meaning: "A group element is not canonical, off the curve, outside the subgroup, or the identity.",
    cause: "The party is faulty or hostile.",
    remedy: "None is needed: the party is left out. Report it if it persists.",
  },
  INVALID_SCALAR: {
    meaning: "A scalar is not canonical, or zero where that is not allowed.",
    cause: "The party is faulty or hostile.",
    remedy: "None is needed: the party is left out. Report it if it persists.",
  },
  INVALID_PROOF: {
    meaning: "A proof of evaluation, of ownership or of possession did not verify.",
    cause: "The party is faulty or hostile, or the data is damaged.",
    remedy: "After an audit: the provider does not hold the data; see `tallystick data-set settle`.",
  },
  INVALID_SIGNATURE: {
    meaning: "A signature is malformed, expired, replayed, or made by another account.",
    cause: "A clock that is wrong, a repeated message, or another chain.",
    remedy:
      "Compare the clocks (`tallystick status` shows the offsets), check the deployment, and run the command again.",
  },
  INTEGRITY: {
    meaning: "Stored bytes are missing, or do not match the hash or authentication tag that names them.",
    cause: "Damage in storage or transit, or a hostile party.",
    remedy: "The object named is bad; other copies may not be. Audit the data and report the miss.",
  },
  SHARES_MISSING: {
    meaning: "Fewer valid key shares than the threshold were available.",
    cause: "Too many key nodes are down or answered wrongly.",
    remedy: "The list shows what each node answered. Repeat when enough nodes are up.",
  },
  QUORUM_FAILED: {
    meaning: "Fewer key nodes than the threshold evaluated correctly.",
    cause: "Too many key nodes are down or answered wrongly.",
    remedy: "The list shows what each node answered. Repeat when enough nodes are up.",
  },
  NOT_OWNER: {
    meaning: "The account has no right to the object.",
    cause: "It belongs to another identity.",
    remedy: "Use the identity that stored it.",
  },
  ACCOUNT_REPLACED: {
    meaning: "The account has a successor and acts no more.",
    cause: "`tallystick rotate` named a successor, here or on another device, or somebody who has the phrase did.",
    remedy:
      "Use the successor's recovery phrase. Where a rotation was interrupted, run `tallystick rotate --yes` on that " +
      "device: it continues.",
  },
  NOT_DELEGATED: {
    meaning: "The key is a delegate of an account, and may do nothing any more.",
    cause: "`check` tells which: it has expired, its owner or the device has revoked it, or its account was replaced.",
    remedy: "Make a new key on the device, and have the owner grant it: `tallystick delegate request` and `grant`.",
  },
  OUT_OF_SCOPE: {
    meaning: "The delegate may act for the account, but not do this.",
    cause:
      "It lacks the scope that `expected` names, wants what only the owner does, works on a data set that was not " +
      "given to it, drops a slice that is scheduled, or spends more than its limit.",
    remedy: "Do it with the owner's identity, or grant another key; `delegate limit` sets what a delegate may spend.",
  },
  NOT_RELEASED: {
    meaning: "The policy of a sealed secret does not allow its release to this account and session key.",
    cause:
      "`check` tells which: the policy says no (the account is no owner, approvals are missing, the delay is not " +
      "over, or the request was vetoed, replaced, closed or retired), or it reverts, needs too much gas, answers " +
      "nonsense, or has no code. `age of the record`: the account owns it, but too few blocks are upon that yet.",
    remedy: "Meet the policy, and ask with the session key that its request names. A defective policy never releases.",
  },
  NOT_ADMITTED: {
    meaning: "The daemon does not serve the account.",
    cause: "Its operator admits listed accounts, or accounts with a minimum balance, and this one is not among them.",
    remedy: "The hint names what is missing; or use another provider or committee.",
  },
  NOT_FOUND: {
    meaning: "The object does not exist there.",
    cause: "The id is wrong.",
    remedy: "Check the id with `tallystick ls`.",
  },
  RATE_LIMITED: {
    meaning: "A limit of the account is reached, or of what the other party takes on.",
    cause:
      "Many requests in a short time, a quota that is used up, or proving time, collateral or transactions of a " +
      "provider that are promised to others.",
    remedy:
      "If the error is retryable, wait `retryAfterSeconds` and repeat the command; for key nodes, the agent waits a " +
      "while by itself. Otherwise waiting changes nothing: do what the hint says, or use another provider for what " +
      "is new.",
  },
  UNREACHABLE: {
    meaning: "No connection could be made, or it broke.",
    cause: "The other party is down, or the network is.",
    remedy: "Repeat. What was acknowledged is kept.",
  },
  TIMED_OUT: {
    meaning: "No answer came in time.",
    cause: "The other party or the network is overloaded.",
    remedy: "Repeat. What was acknowledged is kept.",
  },
  BAD_RESPONSE: {
    meaning: "A party answered outside the protocol.",
    cause: "Another version, a proxy in between, or a hostile party.",
    remedy: "Check the address. Report it if it persists.",
  },
  PARTY_FAILED: {
    meaning: "Another party could not do its part because of a fault on its own side; `received` has its error code.",
    cause: "Its disk is full or failing, its account has no funds, or its program has a defect.",
    remedy: "Only the operator can repair it. Repeat later, and tell the operator if it persists.",
  },
  OBJECT_LOST: {
    meaning: "The party that stored these bytes has lost or damaged them.",
    cause: "A failing disk, or files that were changed behind the provider's back.",
    remedy: "Put the same files again, which heals the object; audit the data and report the miss.",
  },
  STORAGE_UNAVAILABLE: {
    meaning: "The disk of another party is full or fails. What it acknowledged before is not affected.",
    cause: "The operator's disk, not this machine's.",
    remedy: "Repeat later, or use another node or provider; tell the operator if it persists.",
  },
  CHAIN_REVERTED: {
    meaning: "A contract refused the call.",
    cause: "The named custom error says which rule was broken.",
    remedy: "Read `details.revert` and correct the call.",
  },
  CHAIN_UNAVAILABLE: {
    meaning: "The RPC endpoint of the chain failed, or is behind.",
    cause: "It is down, overloaded or not in sync, or it refuses the request; or a block was replaced meanwhile.",
    remedy: "Repeat, or use another endpoint.",
  },
  FUNDS: {
    meaning: "The balance of the account is too low.",
    cause: "The account is empty, or the fees and the deposit exceed its balance.",
    remedy: "Fund the account that the message names.",
  },
  CONFLICT: {
    meaning: "Existing state contradicts the request.",
    cause: "It was already done, with other values.",
    remedy: "The message names what exists; decide which of the two is right.",
  },
  INTERRUPTED: {
    meaning: "The command was ended before it was done.",
    cause: "Ctrl-C, or Ctrl-D at a prompt.",
    remedy: "Run the same command again: it continues where it stopped.",
  },
  INTERNAL: {
    meaning: "A defect of this program.",
    cause: "A condition that the program does not expect.",
    remedy: "Report it, with the command and the output of `TALLYSTICK_DEBUG=1`.",
  },
};
