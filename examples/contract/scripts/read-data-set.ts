/**
 * Deploys StorageWatch beside the escrow of a deployment and asks it about one data set:
 *
 *   ESCROW=0x… DATA_SET=0x… npx hardhat run scripts/read-data-set.ts --network localhost
 */
import { network } from "hardhat";

const { ethers } = await network.create();
const watch = await ethers.deployContract("StorageWatch", [process.env.ESCROW ?? ""]);
// A chain that mines in intervals, as a devnet does, has no code at the address before the next block.
await watch.waitForDeployment();
const [kept, proven] = await watch.getFunction("look")(process.env.DATA_SET ?? "");
process.stdout.write(`${JSON.stringify({ kept, proven: Number(proven) })}\n`);
