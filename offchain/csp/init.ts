/**
 * Makes the keystore of a new provider: `node offchain/csp/init.ts --data-dir <folder>`, passphrase from TALLYSTICK_PASSPHRASE or
 * `--passphrase-file`. Prints one JSON line with the operator account, which needs coins for collateral and for gas.
 */
import { runInit } from "../daemon/keystore-file.ts";
import { runDaemon } from "../daemon/lifecycle.ts";
import { createLogger } from "../daemon/logger.ts";

runDaemon(createLogger("csp-init"), () => runInit(process.argv.slice(2), "csp"));
