/**
 * How the contracts are deployed, wherever their compiled code comes from: this repository's own build, or the package.
 * The order matters for the ledger, which holds the registry's address for good, for the escrow, whose rules hold that
 * of the directory of accounts, and for the policy of owners, which holds those of the ledger and of the directory.
 */
import type { ArgumentType, ContractFuture, IgnitionModuleBuilder } from "@nomicfoundation/ignition-core";
import { parseEther } from "ethers";
import type { RandomnessKind } from "../chain/deployment.ts";
import { toHex } from "../core/encoding/hex.ts";
import { drandKeyForChain } from "../core/randomness/drand.ts";
import { QUICKNET } from "../core/randomness/quicknet.ts";

const DEVELOPMENT_STAKE_WEI = parseEther("1");
const DEVELOPMENT_EXIT_DELAY_SECONDS = 3600n;
const DEVELOPMENT_EPOCH_BLOCKS = 30n;
const DEVELOPMENT_NOTICE_EPOCHS = 3n;
const DEVELOPMENT_MARGIN_SECONDS = 3n;
/** Every block has randomness, and the ring holds as many values as the chain tells hashes. */
const EVERY_BLOCK = 1n;
const LEAST_RING = 8191n;

/** The contract of each kind of source of randomness. */
export const RANDOMNESS_CONTRACTS = {
  block: "BlockRandomness",
  prevrandao: "PrevrandaoRandomness",
  drand: "DrandRandomness",
} as const satisfies Record<RandomnessKind, string>;

type RandomnessContract = (typeof RANDOMNESS_CONTRACTS)[RandomnessKind];

export type ContractName =
  | "NodeRegistry"
  | "KeyLedger"
  | RandomnessContract
  | "StorageEscrow"
  | "PossessionVerifier"
  | "AccountDirectory"
  | "OwnersPolicy"
  | "RecoveryPolicy";

/** The names of the deployed contracts in a deployment file. */
export type DeployedName =
  | "nodeRegistry"
  | "keyLedger"
  | "randomness"
  | "storageEscrow"
  | "possessionVerifier"
  | "accountDirectory"
  | "ownersPolicy"
  | "recoveryPolicy";

/**
 * The steps of the module "Tallystick". Its parameters are those of the registry, `minStakeWei` and `exitDelaySeconds`,
 * and those of the escrow of data sets, `epochBlocks` and `noticeEpochs`; the defaults are those of a development
 * chain. A source of randomness that records values takes `gridBlocks` and `ringSize`; that of a drand network also
 * `drandPublicKey` (in the EIP-2537 form), `drandGenesisTime`, `drandPeriodSeconds` (those of quicknet by default) and
 * `drandMarginSeconds`.
 *
 * @param contract deploys one contract
 * @param kind of the source of randomness
 */
export function deploymentSteps<Deployed extends ContractFuture<string> & ArgumentType>(
  module: IgnitionModuleBuilder,
  contract: (name: ContractName, args: ArgumentType[]) => Deployed,
  kind: RandomnessKind = "block",
): Record<DeployedName, Deployed> {
  const minStakeWei = module.getParameter("minStakeWei", DEVELOPMENT_STAKE_WEI);
  const exitDelaySeconds = module.getParameter("exitDelaySeconds", DEVELOPMENT_EXIT_DELAY_SECONDS);
  const epochBlocks = module.getParameter("epochBlocks", DEVELOPMENT_EPOCH_BLOCKS);
  const noticeEpochs = module.getParameter("noticeEpochs", DEVELOPMENT_NOTICE_EPOCHS);

  const nodeRegistry = contract("NodeRegistry", [minStakeWei, exitDelaySeconds]);
  const keyLedger = contract("KeyLedger", [nodeRegistry]);
  const randomness = contract(RANDOMNESS_CONTRACTS[kind], randomnessArguments(module, kind));
  const accountDirectory = contract("AccountDirectory", []);
  const storageEscrow = contract("StorageEscrow", [epochBlocks, noticeEpochs, accountDirectory]);
  const possessionVerifier = contract("PossessionVerifier", []);
  const ownersPolicy = contract("OwnersPolicy", [keyLedger, accountDirectory]);
  const recoveryPolicy = contract("RecoveryPolicy", []);
  return {
    nodeRegistry,
    keyLedger,
    randomness,
    storageEscrow,
    possessionVerifier,
    accountDirectory,
    ownersPolicy,
    recoveryPolicy,
  };
}

function randomnessArguments(module: IgnitionModuleBuilder, kind: RandomnessKind): ArgumentType[] {
  if (kind === "block") return [];
  const ring = [module.getParameter("gridBlocks", EVERY_BLOCK), module.getParameter("ringSize", LEAST_RING)];
  if (kind === "prevrandao") return ring;
  const network = {
    publicKey: module.getParameter("drandPublicKey", toHex(drandKeyForChain(QUICKNET.publicKey))),
    genesisTime: module.getParameter("drandGenesisTime", QUICKNET.genesisTime),
    periodSeconds: module.getParameter("drandPeriodSeconds", QUICKNET.periodSeconds),
    marginSeconds: module.getParameter("drandMarginSeconds", DEVELOPMENT_MARGIN_SECONDS),
  };
  return [network, ...ring];
}
