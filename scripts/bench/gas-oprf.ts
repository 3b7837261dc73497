/**
 * Gas of checking OPRF evaluations and of challenging key nodes, on Hardhat's own network with the production build:
 * the library calls alone, what SHA-512 takes of them, and whole transactions against a committee with real keys.
 *
 *   node scripts/bench/gas-oprf.ts
 */
import { deployTallystick } from "../../ignition/deploy-tallystick.ts";
import { NodeRegistry__factory } from "../../offchain/chain/types/factories/NodeRegistry__factory.ts";
import { OprfDisputes__factory } from "../../offchain/chain/types/factories/OprfDisputes__factory.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { oprfAnswerTypedData } from "../../offchain/core/identity/typed-messages.ts";
import { multiplyBase, ristretto255Group, scalarFromNumber } from "../../offchain/core/oprf/group.ts";
import { composeEvaluation, oprfReady } from "../../offchain/core/oprf/ristretto255.ts";
import { oprfAnswerMessage } from "../../offchain/core/oprf/signed-answer.ts";
import { createVoprfSuite } from "../../offchain/core/oprf/voprf.ts";
import { loadVectors } from "../../test/helpers/vectors.ts";
import { type GasFigure, GasMeter, type GasRules, measuringNetwork, RULES_OF_TODAY } from "./gas-figure.ts";

interface Vectors {
  readonly modes: {
    readonly publicKey?: string;
    readonly vectors: { blinded: string[]; evaluated: string[]; proof?: string }[];
  }[];
}

/** Most bytes that one block of SHA-512 takes, and what a hundred blocks more take. */
const ONE_BLOCK = 111;
const BLOCKS = 100;
const BLOCK_BYTES = 128;
const COMMITTEE_SIZE = 5;
const THRESHOLD = 3;
/** Proofs whose nonce is always the same, since what a check costs depends on the bits of the scalars. */
const { evaluateBatch } = createVoprfSuite({ ...ristretto255Group, randomScalar: () => scalarFromNumber(4242) });

/** The checks alone, then transactions. @throws Error when a right proof does not verify, or a figure is missing */
export async function measureOprfGas(rules: GasRules): Promise<GasFigure[]> {
  return [...(await measureChecks(rules)), ...(await measureChallenges(rules))];
}

/** The RFC's first proof. @throws Error when it does not verify */
async function measureChecks(rules: GasRules): Promise<GasFigure[]> {
  await oprfReady();
  const mode = loadVectors<Vectors>("rfc9497-ristretto255-sha512.json").modes.find(({ publicKey }) => publicKey);
  const [vector] = mode?.vectors ?? [];
  const [[blinded], [evaluated]] = [vector?.blinded ?? [], vector?.evaluated ?? []];
  if (mode?.publicKey === undefined || vector?.proof === undefined || blinded === undefined || evaluated === undefined)
    throw new Error("no VOPRF vector");
  const proof = { c: vector.proof.slice(0, 66), s: `0x${vector.proof.slice(66)}` };
  const composites = composeEvaluation(fromHex(mode.publicKey), [fromHex(blinded)], [fromHex(evaluated)]);

  const connection = await measuringNetwork(rules);
  try {
    const harness = await connection.ethers.deployContract("OprfEvaluationHarness");
    const measured = async (check: string, from: string, to: string): Promise<number> => {
      const [valid, gas] = await harness.getFunction(`${check}Gas`).staticCall(mode.publicKey, from, to, proof);
      if (valid !== true) throw new Error(`${check}: the proof of the RFC does not verify`);
      return Number(gas);
    };
    const digest = async (length: number) => Number(await harness.getFunction("sha512Gas").staticCall(length));
    const block = ((await digest(ONE_BLOCK + BLOCKS * BLOCK_BYTES)) - (await digest(ONE_BLOCK))) / BLOCKS;
    const composed = await measured("isComposite", toHex(composites.blinded), toHex(composites.evaluated));
    return [
      { name: "OprfEvaluation, one element, check", gas: await measured("isEvaluation", blinded, evaluated) },
      { name: "OprfEvaluation, composites of a batch, check", gas: composed },
      { name: "Sha512, each block of 128 bytes", gas: Math.ceil(block) },
    ];
  } finally {
    await connection.close();
  }
}

/** Challenges of members of a committee as large as is usual. */
async function measureChallenges(rules: GasRules): Promise<GasFigure[]> {
  const connection = await measuringNetwork(rules);
  try {
    const { contracts, chainId } = await deployTallystick(connection);
    const [user, ...operators] = (await connection.ethers.getSigners()).slice(0, COMMITTEE_SIZE + 1);
    const [first, second] = operators;
    if (user === undefined || first === undefined || second === undefined)
      throw new Error("the network has no accounts");
    const registry = NodeRegistry__factory.connect(contracts.nodeRegistry, user);
    const disputes = OprfDisputes__factory.connect(await registry.DISPUTES(), user);
    const stake = { value: await registry.MIN_STAKE_WEI() };
    const keyOf = (position: number) => scalarFromNumber(1000 + position);
    const shares = operators.map((_, position) => multiplyBase(keyOf(position)));
    for (const operator of operators) {
      await (
        await registry.connect(operator).registerNode("https://node.example.org", shares[0] as Uint8Array, stake)
      ).wait();
    }
    await (await registry.connect(first).createCommittee(operators, THRESHOLD)).wait();
    const group = multiplyBase(keyOf(99));
    const keys = { oprfPublicKey: group, recordPublicKey: group, oprfShares: shares, recordShares: shares };
    for (const operator of operators) {
      await (await registry.connect(operator).attestGeneration(1n, 1, keys)).wait();
    }

    const keyMaterialHash = await registry.hashKeyMaterial(keys);

    const blinded = [1, 2].map((n) => multiplyBase(scalarFromNumber(n)));
    const signedAnswer = async (position: number, isWrong: boolean) => {
      const [share, operator] = [shares[position] as Uint8Array, operators[position] as typeof first];
      const { evaluated, proof } = evaluateBatch(keyOf(position), share, blinded);
      const composites = composeEvaluation(share, blinded, isWrong ? blinded : evaluated);
      const place = { committeeId: 1n, generation: 1, keyMaterialHash, index: position + 1 };
      const answer = oprfAnswerMessage({ ...place, account: user.address, composites, proof });
      const { domain, types, message } = oprfAnswerTypedData(BigInt(chainId), contracts.nodeRegistry, answer);
      return { answer, signature: await operator.signTypedData(domain, types, { ...message }) };
    };
    const meter = new GasMeter(connection);
    const bond = { value: await disputes.BOND_WEI() };
    const right = await signedAnswer(0, false);
    await meter.measure("challenge, right answer", disputes.challenge(right.answer, right.signature, keys, bond));
    const wrong = await signedAnswer(1, true);
    await meter.measure("challenge, wrong answer", disputes.challenge(wrong.answer, wrong.signature, keys, bond));
    if ((await registry.nodeOf(second)).stakeWei !== 0n) throw new Error("a wrong answer did not cost the stake");
    await meter.measure("withdraw", disputes.withdraw(user.address));

    const single = evaluateBatch(keyOf(0), shares[0] as Uint8Array, blinded.slice(0, 1));
    const proof = { c: single.proof.subarray(0, 32), s: single.proof.subarray(32) };
    const elements = [blinded[0], single.evaluated[0]] as Uint8Array[];
    await meter.measureViews(disputes, user, {
      owedWei: [first.address],
      isJudged: [await disputes.answerDigest(right.answer)],
      answerDigest: [right.answer],
      isRight: [right.answer, keys],
      isEvaluation: [1n, 1, 1, ...elements, proof, keys],
    });
    meter.checkComplete(disputes);
    return meter.figures;
  } finally {
    await connection.close();
  }
}

if (import.meta.main) {
  for (const { name, gas } of await measureOprfGas(RULES_OF_TODAY)) console.log(`${name.padEnd(48)} ${gas}`);
}
