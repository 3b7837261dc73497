/**
 * Gas of a storage agreement: whole transactions as their senders pay for them, call data included, on Hardhat's own
 * network with the production build of the contracts. Proofs are real; they are computed from the owner's secrets over
 * a set of 1 TiB, which costs the chain the same as any other size.
 *
 * While an epoch is proven, the randomness source has other code, whose values are the same in every run. Block hashes
 * differ between runs, and so would the number of zero bytes in a proof, which cost less. The real source costs about
 * 200 gas more.
 *
 *   node scripts/bench/gas-escrow.ts
 */
import { hexlify } from "ethers";
import { deployTallystick } from "../../ignition/deploy-tallystick.ts";
import { depositOf, NATIVE_TOKEN, type Terms, termsHash } from "../../offchain/chain/escrow.ts";
import { BlockRandomness__factory } from "../../offchain/chain/types/factories/randomness/BlockRandomness__factory.ts";
import { StorageEscrow__factory } from "../../offchain/chain/types/factories/StorageEscrow__factory.ts";
import { auditKeyHash, keyForChain } from "../../offchain/core/audit/keys.ts";
import { proofForChain } from "../../offchain/core/audit/proof.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { proveWithSecrets, sparseSlice, TEBIBYTE_SLICES, testKeys } from "../../test/helpers/audit-set.ts";
import { type GasFigure, GasMeter, measuringNetwork } from "./gas-figure.ts";

const EPOCH_BLOCKS = 20;
const WINDOW_BLOCKS = 10;
const LEAD_BLOCKS = 20;
/** Code of a source whose randomness is keccak256 of the call data of `randomnessAt`. */
const FIXED_RANDOMNESS_CODE = "0x60245f5f3760245f205f5260205ff3";

/** Measures the life of agreements from proposal to withdrawal. @throws Error when a step is refused */
export async function measureEscrowGas(): Promise<GasFigure[]> {
  await auditReady();
  const keys = testKeys();
  const key = keyForChain(keys.publicKey);
  const connection = await measuringNetwork();
  try {
    const { contracts } = await deployTallystick(connection);
    const { provider: chain } = connection.ethers;
    const [user, provider, watcher] = await connection.ethers.getSigners();
    if (user === undefined || provider === undefined || watcher === undefined) throw new Error("no accounts");
    const escrow = StorageEscrow__factory.connect(contracts.storageEscrow, user);
    const token = await connection.ethers.deployContract("PlainToken", user);
    for (const party of [user, provider]) {
      await (await token.getFunction("mint")(party, 10n ** 24n)).wait();
      await (await token.connect(party).getFunction("approve")(escrow, 10n ** 24n)).wait();
    }

    const randomnessCode = await chain.getCode(contracts.randomness);

    const meter = new GasMeter();
    const measure = meter.measure.bind(meter);
    const mineTo = async (block: number): Promise<void> => {
      const blocks = block - (await chain.getBlockNumber());
      if (blocks > 0) await chain.send("hardhat_mine", [`0x${blocks.toString(16)}`]);
    };

    const open = async (sampleCount: number, tokenAddress: string, label: string): Promise<[bigint, Terms]> => {
      const terms: Terms = {
        provider: provider.address,
        token: tokenAddress,
        feePerEpoch: 10n ** 15n,
        compensationPerMiss: 10n ** 15n,
        bountyPerMiss: 10n ** 14n,
        collateral: 10n ** 16n,
        startBlock: BigInt((await chain.getBlockNumber()) + LEAD_BLOCKS),
        epochBlocks: EPOCH_BLOCKS,
        windowBlocks: WINDOW_BLOCKS,
        epochs: 4,
        sampleCount,
        breachLimit: 3,
        firstIndex: 1n,
        sliceCount: BigInt(TEBIBYTE_SLICES),
        auditKeyHash: hexlify(auditKeyHash(keys.publicKey)),
        manifestHash: `0x${"5a".repeat(32)}`,
        randomness: contracts.randomness,
      };
      const value = (amount: bigint) => ({ value: tokenAddress === NATIVE_TOKEN ? amount : 0n });
      await measure(`propose, ${label}`, escrow.propose(terms, value(depositOf(terms))));
      const id = await escrow.agreementCount();
      const hash = termsHash(user.address, terms);
      await measure(`accept, ${label}`, escrow.connect(provider).accept(id, hash, value(terms.collateral)));
      return [id, terms];
    };
    const prove = async (id: bigint, terms: Terms, epoch: number, name: string): Promise<void> => {
      await mineTo(Number(terms.startBlock) + epoch * EPOCH_BLOCKS + 1);
      await chain.send("hardhat_setCode", [contracts.randomness, FIXED_RANDOMNESS_CODE]);
      const { seed } = await escrow.challengeOf(id, epoch);
      const challenge = {
        seed: Uint8Array.from(Buffer.from(seed.slice(2), "hex")),
        sampleCount: terms.sampleCount,
        ranges: [{ firstIndex: 1, count: TEBIBYTE_SLICES }],
      };
      const proof = proofForChain(proveWithSecrets(keys, challenge, sparseSlice));
      await measure(name, escrow.connect(provider).prove(id, epoch, key, proof));
      await chain.send("hardhat_setCode", [contracts.randomness, randomnessCode]);
    };
    const reportMiss = async (id: bigint, terms: Terms, epoch: number, name: string): Promise<void> => {
      await mineTo(Number(terms.startBlock) + epoch * EPOCH_BLOCKS + WINDOW_BLOCKS);
      await measure(name, escrow.connect(watcher).reportMiss(id, epoch));
    };

    // The first write of a balance or of an agreement's epochs costs more than later ones, so both are measured.
    const [first, terms] = await open(30, NATIVE_TOKEN, "coin");
    await prove(first, terms, 0, "prove, 30 samples, first");
    await prove(first, terms, 1, "prove, 30 samples, later");
    await reportMiss(first, terms, 2, "reportMiss, first");
    await reportMiss(first, terms, 3, "reportMiss, later");
    await mineTo(Number(terms.startBlock) + 4 * EPOCH_BLOCKS);
    await measure("close", escrow.connect(watcher).close(first));
    await measure("withdraw, coin", escrow.connect(provider).withdraw(NATIVE_TOKEN, provider));

    const [second, moreTerms] = await open(460, await token.getAddress(), "token");
    await prove(second, moreTerms, 0, "prove, 460 samples, first");
    await prove(second, moreTerms, 1, "prove, 460 samples, later");
    await measure("withdraw, token", escrow.connect(provider).withdraw(token, provider));

    await (await escrow.propose({ ...terms, startBlock: 1_000_000n }, { value: depositOf(terms) })).wait();
    await measure("cancel", escrow.cancel(await escrow.agreementCount()));

    await meter.measureViews(escrow, watcher, {
      balanceOf: [NATIVE_TOKEN, user.address],
      agreementOf: [second],
      termsHashOf: [second],
      epochStatus: [second, 0],
      challengeOf: [second, 1],
    });
    const randomness = BlockRandomness__factory.connect(contracts.randomness, watcher);
    const past = (await chain.getBlockNumber()) - 1;
    // Recording stores nothing there, so it is a view.
    await meter.measureViews(randomness, watcher, { randomnessAt: [past], record: [past, "0x"] });
    for (const contract of [escrow, randomness]) meter.checkComplete(contract);
    return meter.figures;
  } finally {
    await connection.close();
  }
}

if (import.meta.main) {
  for (const { name, gas } of await measureEscrowGas()) console.log(`${name.padEnd(32)} ${gas}`);
}
