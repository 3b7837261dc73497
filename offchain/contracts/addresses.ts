/** Where the contracts are, by chain. */

export interface ContractAddresses {
  readonly nodeRegistry: string;
  readonly keyLedger: string;
  readonly storageEscrow: string;
  readonly possessionVerifier: string;
  readonly randomness: string;
  readonly accountDirectory: string;
  readonly ownersPolicy: string;
  readonly recoveryPolicy: string;
}

/**
 * Addresses by chain id. 31337 is a development chain (`npm run devnet`, Hardhat's node, anvil) on which the Ignition
 * module made the first transactions of the first account. There is no deployment on a public chain yet: those are
 * described by deployment files.
 */
export const CONTRACT_ADDRESSES: Readonly<Record<number, ContractAddresses>> = {
  31337: {
    nodeRegistry: "0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0",
    keyLedger: "0x5FC8d32690cc91D4c39d9d3abcBD16989F875707",
    storageEscrow: "0x0165878A594ca255338adfa4d48449f69242Eb8F",
    possessionVerifier: "0xCf7Ed3AccA5a467e9e704C703E8D87F634fB0Fc9",
    randomness: "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512",
    accountDirectory: "0x5FbDB2315678afecb367f032d93F642f64180aa3",
    ownersPolicy: "0xa513E6E4b8f2a923D98304ec87F64353C4D5C853",
    recoveryPolicy: "0xDc64a140Aa3E981100a9becA4E685f962f0cF6C9",
  },
};
