/** The entry points `tallystick/contracts` and `tallystick/hardhat/module`, on Hardhat's own network. */
import { expect } from "chai";
import hre from "hardhat";
import tallystick from "../../ignition/modules/tallystick.ts";
import { CONTRACT_ADDRESSES, StorageEscrow__factory } from "../../offchain/contracts/index.ts";
import { tallystickModule } from "../../offchain/hardhat/module.ts";

async function deployed(module: typeof tallystick) {
  const { ethers, ignition } = await hre.network.create();
  const contracts = Object.entries(await ignition.deploy(module as typeof tallystick)) as [
    string,
    { target: string },
  ][];
  const entries = await Promise.all(
    contracts.map(async ([name, { target }]) => [
      name,
      { address: target, code: await ethers.provider.getCode(target) },
    ]),
  );
  return { ethers, contracts: Object.fromEntries(entries) as Record<string, { address: string; code: string }> };
}

describe("contracts of the package", () => {
  it("are compiled for a deployment exactly as for the tests, so that both have the same bytecode", () => {
    const { default: tested, production } = hre.config.solidity.profiles;
    // Tool versions go into the build info only.
    expect({ ...production, toolVersionsInBuildInfo: tested?.toolVersionsInBuildInfo }).to.deep.equal(tested);
  });

  it("deploys by the package's module what the repository's module deploys from its build", async () => {
    const [own, packaged] = [
      await deployed(tallystick),
      await deployed(tallystickModule as unknown as typeof tallystick),
    ];
    expect(packaged.contracts).to.deep.equal(own.contracts);
    expect(Object.keys(own.contracts)).to.have.length(8);
    for (const { code } of Object.values(own.contracts)) expect(code).to.have.length.greaterThan(2);
  });

  it("knows the addresses of a development chain whose first account deployed first", async () => {
    const { ethers, contracts } = await deployed(tallystick);
    const { chainId } = await ethers.provider.getNetwork();
    const addresses = Object.fromEntries(Object.entries(contracts).map(([name, { address }]) => [name, address]));
    expect(CONTRACT_ADDRESSES[Number(chainId)]).to.deep.equal(addresses);
    const escrow = StorageEscrow__factory.connect(addresses.storageEscrow ?? "", ethers.provider);
    expect(await escrow.getAddress()).to.equal(addresses.storageEscrow);
  });
});
