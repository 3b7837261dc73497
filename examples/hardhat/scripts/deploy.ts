/**
 * Deploys the contracts of Tallystick and prints their addresses. `npm run deploy` uses Hardhat's chain in this
 * process, which ends with it; `npm run deploy:local` uses the chain at RPC_URL (`--network localhost`).
 */
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
