/** Release policies of contracts/test/zoo on a test's chain. */
import { readFileSync } from "node:fs";
import { ContractFactory, type InterfaceAbi, type Signer } from "ethers";

/** In the order of `OddPolicy.Answer`. */
export const ODD_ANSWERS = [
  "Yes",
  "No",
  "RevertsWithText",
  "RevertsWithNothing",
  "RevertsWithYes",
  "RevertsWithMuch",
  "Loops",
  "InvalidOpcode",
  "FailsAnAssertion",
  "Two",
  "HighBit",
  "Short",
  "Long",
  "Huge",
  "Nothing",
  "WithinTheCap",
  "BeyondTheCap",
] as const;
export type OddAnswer = (typeof ODD_ANSWERS)[number];

/** @returns the address of a policy that answers so */
export async function deployOddPolicy(signer: Signer, answer: OddAnswer): Promise<string> {
  const file = new URL("../../artifacts/contracts/test/zoo/OddPolicy.sol/OddPolicy.json", import.meta.url);
  const { abi, bytecode } = JSON.parse(readFileSync(file, "utf8")) as { abi: InterfaceAbi; bytecode: string };
  const deployed = await new ContractFactory(abi, bytecode, signer).deploy(ODD_ANSWERS.indexOf(answer));
  await deployed.waitForDeployment();
  return await deployed.getAddress();
}
