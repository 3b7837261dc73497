/**
 * Deploys StorageWatch beside the escrow of a deployment and asks it about one agreement:
 *
 *   ESCROW=0x… AGREEMENT=1 npx hardhat run scripts/read-agreement.ts --network localhost
 */
import { network } from "hardhat";

const { ethers } = await network.create();
const watch = await ethers.deployContract("StorageWatch", [process.env.ESCROW ?? ""]);
// A chain that mines in intervals, as a devnet does, has no code at the address before the next block.
await watch.waitForDeployment();
const [kept, user] = await watch.getFunction("look")(process.env.AGREEMENT ?? "1");
process.stdout.write(`${JSON.stringify({ kept, user })}\n`);
