/**
 * Hardhat tasks for the main job: the same SDK as the command line, on the network that `--network` names. Actions load
 * when they run, so that building contracts does not pull the SDK in.
 *
 *   npx hardhat tallystick put --file README.md --network localhost
 */
import { emptyTask, task } from "hardhat/config";
import { ArgumentType } from "hardhat/types/arguments";
import type { HardhatRuntimeEnvironment } from "hardhat/types/hre";

type Action<Options> = (options: Options, hre: HardhatRuntimeEnvironment) => Promise<void>;

/** Reports typed failures as the command line does. Hardhat would report them as bugs of its own. */
async function reporting<Options>(
  loading: Promise<{ default: Action<Options> }>,
): Promise<{ default: Action<Options> }> {
  const { default: action } = await loading;
  return {
    default: async (options, hre) => {
      try {
        await action(options, hre);
      } catch (error) {
        const { reportFailure } = await import("./tasks/session.ts");
        reportFailure(error);
      }
    },
  };
}

const home = {
  name: "home",
  description: "folder of the keystore and the catalogue (default ~/.tallystick, or TALLYSTICK_HOME)",
  type: ArgumentType.STRING_WITHOUT_DEFAULT,
  defaultValue: undefined,
} as const;
const deployment = {
  name: "deployment",
  description: "deployment file (default: TALLYSTICK_DEPLOYMENT, the home's, then a devnet started here)",
  type: ArgumentType.STRING_WITHOUT_DEFAULT,
  defaultValue: undefined,
} as const;
const passphraseFile = {
  name: "passphraseFile",
  description: "file with the passphrase (default: TALLYSTICK_PASSPHRASE)",
  type: ArgumentType.STRING_WITHOUT_DEFAULT,
  defaultValue: undefined,
} as const;
const dataId = { name: "id", description: "data id", defaultValue: "" } as const;
const dataSet = { name: "dataSet", description: "id of the data set, or its beginning", defaultValue: "" } as const;

export const tallystickTasks = [
  emptyTask("tallystick", "Store, restore and audit files").build(),
  emptyTask(["tallystick", "data-set"], "Data sets at providers, and the balance that pays for them").build(),
  task(["tallystick", "init"], "Make an identity and print its recovery phrase, once")
    .addOption(home)
    .addOption(deployment)
    .addOption(passphraseFile)
    .setAction(() => reporting(import("./tasks/init.ts")))
    .build(),
  task(["tallystick", "put"], "Store a file or folder")
    .addOption(home)
    .addOption(deployment)
    .addOption(passphraseFile)
    .addOption({ name: "file", description: "file or folder to store", defaultValue: "" })
    .addOption({ name: "runway", description: "epochs that a top-up covers", type: ArgumentType.INT, defaultValue: 30 })
    .addFlag({ name: "noDataSet", description: "store outside the data set: nothing is proven" })
    .addFlag({
      name: "allowBlockRandomness",
      description: "accept a data set whose challenges the builder of a block can choose",
    })
    .addOption({
      name: "keyMode",
      description: "oprf: a key from the nodes for each chunk; merkle: one for each file (default: oprf)",
      type: ArgumentType.STRING_WITHOUT_DEFAULT,
      defaultValue: undefined,
    })
    .setAction(() => reporting(import("./tasks/put.ts")))
    .build(),
  task(["tallystick", "get"], "Restore what is stored under a data id")
    .addOption(home)
    .addOption(deployment)
    .addOption(passphraseFile)
    .addOption(dataId)
    .addOption({ name: "out", description: "folder to restore into", defaultValue: "" })
    .addFlag({ name: "overwrite", description: "replace files that are there and differ" })
    .setAction(() => reporting(import("./tasks/get.ts")))
    .build(),
  task(["tallystick", "ls"], "List what this account has stored")
    .addOption(home)
    .addOption(deployment)
    .addOption(passphraseFile)
    .setAction(() => reporting(import("./tasks/ls.ts")))
    .build(),
  task(["tallystick", "status"], "Show the account, the network and each put")
    .addOption(home)
    .addOption(deployment)
    .addOption(passphraseFile)
    .setAction(() => reporting(import("./tasks/status.ts")))
    .build(),
  task(["tallystick", "audit"], "Have providers prove that they hold the data")
    .addOption(home)
    .addOption(deployment)
    .addOption(passphraseFile)
    .addOption({ ...dataSet, description: "id of the data set, or its beginning (default: all that run)" })
    .addFlag({ name: "public", description: "check the newest proof on chain" })
    .setAction(() => reporting(import("./tasks/audit.ts")))
    .build(),
  task(["tallystick", "recover"], "Rebuild the list of what is stored from the ledger")
    .addOption(home)
    .addOption(deployment)
    .addOption(passphraseFile)
    .setAction(() => reporting(import("./tasks/recover.ts")))
    .build(),
  task(["tallystick", "data-set", "ls"], "List this account's data sets")
    .addOption(home)
    .addOption(deployment)
    .addOption(passphraseFile)
    .setAction(() => reporting(import("./tasks/data-set-ls.ts")))
    .build(),
  task(["tallystick", "data-set", "show"], "Show one data set with its last epochs")
    .addOption(home)
    .addOption(deployment)
    .addOption(passphraseFile)
    .addOption(dataSet)
    .setAction(() => reporting(import("./tasks/data-set-show.ts")))
    .build(),
  task(["tallystick", "data-set", "top-up"], "Add money to the balance")
    .addOption(home)
    .addOption(deployment)
    .addOption(passphraseFile)
    .addOption({ name: "amount", description: "in wei", defaultValue: "" })
    .setAction(() => reporting(import("./tasks/data-set-top-up.ts")))
    .build(),
  task(["tallystick", "data-set", "notice"], "End a data set after the notice period")
    .addOption(home)
    .addOption(deployment)
    .addOption(passphraseFile)
    .addOption(dataSet)
    .setAction(() => reporting(import("./tasks/data-set-notice.ts")))
    .build(),
  task(["tallystick", "data-set", "settle"], "Report missed epochs, and close the data set when it is over")
    .addOption(home)
    .addOption(deployment)
    .addOption(passphraseFile)
    .addOption(dataSet)
    .setAction(() => reporting(import("./tasks/data-set-settle.ts")))
    .build(),
  task(["tallystick", "data-set", "withdraw"], "Withdraw what the notice period does not need")
    .addOption(home)
    .addOption(deployment)
    .addOption(passphraseFile)
    .setAction(() => reporting(import("./tasks/data-set-withdraw.ts")))
    .build(),
  task(["tallystick", "deployment"], "Write the deployment file of contracts that Ignition deployed")
    .addOption({ name: "out", description: "file to write", defaultValue: "deployment.json" })
    .addOption({ name: "provider", description: "providers, as account@url, separated by commas", defaultValue: "" })
    .addOption({ name: "committee", description: "committee that takes new records", defaultValue: "0" })
    .addOption({
      name: "drandChainHash",
      description: "chain hash of the drand network, for contracts that use one (default: quicknet)",
      defaultValue: "",
    })
    .addOption({ name: "drandRelays", description: "URLs of its relays, separated by commas", defaultValue: "" })
    .setAction(() => reporting(import("./tasks/deployment.ts")))
    .build(),
];
