/** Deploys the contracts of Tallystick to the network that `--network` names: `npm run deploy`. */
import { network } from "hardhat";
import tallystickModule from "tallystick/hardhat/module";

const { ignition } = await network.create();
const { nodeRegistry, keyLedger, storageEscrow } = await ignition.deploy(tallystickModule);
const addresses = {
  nodeRegistry: await nodeRegistry.getAddress(),
  keyLedger: await keyLedger.getAddress(),
  storageEscrow: await storageEscrow.getAddress(),
};
process.stdout.write(`${JSON.stringify(addresses)}\n`);
