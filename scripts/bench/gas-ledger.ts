/**
 * Gas of the node registry and the key ledger: whole transactions as a user pays for them, call data included, on
 * Hardhat's own network with the production build of the contracts. Payloads look random, as sealed ones do: call data
 * costs most where it has no zero bytes. Names and bytes are the same in every run.
 *
 *   node scripts/bench/gas-ledger.ts
 */

import { hexlify, keccak256, Wallet } from "ethers";
import { deployTallystick } from "../../ignition/deploy-tallystick.ts";
import { recordIdOf } from "../../offchain/chain/ledger.ts";
import { KeyLedger__factory } from "../../offchain/chain/types/factories/KeyLedger__factory.ts";
import { NodeRegistry__factory } from "../../offchain/chain/types/factories/NodeRegistry__factory.ts";
import {
  addOwnerTypedData,
  keyRecordsTypedData,
  keyRecordTypedData,
  ownershipTypedData,
  type TypedData,
} from "../../offchain/core/identity/typed-messages.ts";
import { payloadLength, SEALED_POLICY } from "../../offchain/core/record/key-record.ts";
import { pseudoRandomBytes } from "../../test/helpers/pseudo-random.ts";
import {
  type GasFigure,
  GasMeter,
  type GasRules,
  GENESIS_SECONDS,
  measuringNetwork,
  RULES_OF_TODAY,
} from "./gas-figure.ts";

/** Bytes of the payload of a record: a self envelope and the key sealed to the committee. */
export const PAYLOAD_BYTES = payloadLength(SEALED_POLICY);
const COMMITTEE_SIZE = 5;
const THRESHOLD = 3;
const BATCH = 20;
const DEADLINE = 2n ** 40n;

/** The same bytes in every run: their zero bytes are cheaper, so random ones would change the figures. */
const bytes = (name: string, length: number): Uint8Array => pseudoRandomBytes(`gas-ledger ${name}`, length);
const walletOf = (name: string): Wallet => new Wallet(hexlify(bytes(`wallet ${name}`, 32)));

/** Measures every function of both contracts. @throws Error when a step is refused or a function was not called */
export async function measureLedgerGas(rules: GasRules): Promise<GasFigure[]> {
  const connection = await measuringNetwork(rules);
  try {
    const { contracts, chainId } = await deployTallystick(connection);
    const signers = await connection.ethers.getSigners();
    const [relay, ...operators] = signers.slice(0, COMMITTEE_SIZE + 1);
    if (relay === undefined) throw new Error("the network has no accounts");
    const registry = NodeRegistry__factory.connect(contracts.nodeRegistry, relay);
    const ledger = KeyLedger__factory.connect(contracts.keyLedger, relay);
    const meter = new GasMeter(connection);
    const measure = meter.measure.bind(meter);
    const last = <T>(list: T[]): T[] => list.slice(-1);

    const stake = { value: await registry.MIN_STAKE_WEI() };
    const register = operators.map(
      (operator, index) => () =>
        registry
          .connect(operator)
          .registerNode(`https://node-${index}.example.org:8443`, bytes(`node ${index}`, 32), stake),
    );
    for (const send of register.slice(0, -1)) await (await send()).wait();
    for (const send of last(register)) await measure("registerNode", send());

    const [first] = operators;
    if (first === undefined) throw new Error("no operators");
    await measure(
      `createCommittee ${THRESHOLD} of ${COMMITTEE_SIZE}`,
      registry.connect(first).createCommittee(operators, THRESHOLD),
    );
    const keys = {
      oprfPublicKey: bytes("group", 32),
      recordPublicKey: bytes("record group", 32),
      oprfShares: operators.map((_, index) => bytes(`share ${index}`, 32)),
      recordShares: operators.map((_, index) => bytes(`record share ${index}`, 32)),
    };
    for (const [index, operator] of operators.entries()) {
      const name = index === 0 ? "attestGeneration first" : index === COMMITTEE_SIZE - 1 ? "attestGeneration last" : "";
      const sent = registry.connect(operator).attestGeneration(1n, 1, keys);
      if (name === "") await (await sent).wait();
      else await measure(name, sent);
    }
    for (const [index, operator] of operators.slice(0, THRESHOLD).entries()) {
      const propose = registry.connect(operator).proposeGeneration(1n, 2, operators, THRESHOLD);
      if (index === 0) await measure("proposeGeneration first", propose);
      else if (index === THRESHOLD - 1) await measure("proposeGeneration last", propose);
      else await (await propose).wait();
    }

    const sign = <M extends object>(
      wallet: { signTypedData: Wallet["signTypedData"] },
      data: TypedData<M>,
    ): Promise<string> => wallet.signTypedData(data.domain, data.types, data.message);
    const now = BigInt(GENESIS_SECONDS);
    const signedRecord = async (account: Wallet, ownershipKey: string, keyTime: bigint) => {
      const record = {
        account: account.address,
        fileTag: keccak256(account.address),
        committeeId: 1n,
        keyTime,
        ownershipKey,
        payload: hexlify(bytes(`payload ${account.address} ${keyTime}`, PAYLOAD_BYTES)),
      };
      const { payload, ...fields } = record;
      const message = { ...fields, payloadHash: keccak256(payload), deadline: DEADLINE };
      const signature = await sign(account, keyRecordTypedData(BigInt(chainId), contracts.keyLedger, message));
      return { record, header: { ...fields, payloadHash: message.payloadHash }, deadline: DEADLINE, signature };
    };

    const account = walletOf("account");
    const ownership = walletOf("ownership");
    const one = await signedRecord(account, ownership.address, now);
    await measure(`record, ${PAYLOAD_BYTES}-byte payload`, ledger.record(one.record, one.deadline, one.signature));
    const renewed = await signedRecord(account, ownership.address, now + 1n);
    await measure(
      "record, another of the same file",
      ledger.record(renewed.record, renewed.deadline, renewed.signature),
    );

    const entries = Array.from({ length: BATCH }, (_, i) => ({
      fileTag: hexlify(bytes(`tag ${i}`, 32)),
      ownershipKey: walletOf(`ownership ${i}`).address,
      payload: hexlify(bytes(`payload ${i}`, PAYLOAD_BYTES)),
    }));
    const shared = { account: walletOf("batch").address, committeeId: 1n, keyTime: now };
    const recordIds = entries.map(({ payload, ...entry }) =>
      recordIdOf({ ...shared, ...entry, payloadHash: keccak256(payload) }),
    );
    const batch = { account: shared.account, recordIds, deadline: DEADLINE };
    const signed = await sign(walletOf("batch"), keyRecordsTypedData(BigInt(chainId), contracts.keyLedger, batch));
    await measure(
      `recordMany of ${BATCH}, per record`,
      ledger.recordMany({ ...shared, entries, deadline: DEADLINE, signature: signed }),
      BATCH,
    );

    const owner = walletOf("owner");
    const recordId = recordIdOf(renewed.header);
    const note = hexlify(bytes("note", 81));
    const joining = { recordId, owner: owner.address };
    const shown = await sign(ownership, ownershipTypedData(BigInt(chainId), contracts.keyLedger, joining));
    const wanted = await sign(
      owner,
      addOwnerTypedData(BigInt(chainId), contracts.keyLedger, {
        ...joining,
        noteHash: keccak256(note),
        deadline: DEADLINE,
      }),
    );
    await measure("addOwner", ledger.addOwner(renewed.header, owner.address, note, DEADLINE, shown, wanted));

    const member = registry.connect(first);
    await measure("updateNode", member.updateNode("https://moved.example.org:8443", bytes("next key", 32)));
    await measure("assignCommittee", member.assignCommittee(1n));
    await measure("requestExit", member.requestExit());
    await connection.ethers.provider.send("evm_increaseTime", [Number(await registry.EXIT_DELAY_SECONDS()) + 1]);
    await measure("withdrawStake", member.withdrawStake(first.address));

    const [second] = operators.slice(1);
    if (second === undefined) throw new Error("no second operator");
    await meter.measureViews(registry, relay, {
      nodeOf: [second.address],
      assignedNodes: [1n, second.address, 20_000],
      operators: [0, COMMITTEE_SIZE],
      committeeById: [1n],
      generationById: [1n, 1],
      generationNodes: [1n, 1],
      verificationSharesOf: [1n, 1, 1, keys],
      isActive: [1n],
      proposalOf: [1n, second.address],
      agreementOnProposal: [1n, await registry.proposalOf(1n, second.address)],
      attestationOf: [1n, 1, second.address],
      agreementOn: [1n, 1, await registry.hashKeyMaterial(keys)],
      hashKeyMaterial: [keys],
      committeeOf: [second.address],
    });
    const { header, deadline, signature } = renewed;
    const consent = await ledger.recordSignatureHash(header, deadline);
    await meter.measureViews(ledger, relay, {
      recordedAt: [recordId],
      isAccountSignature: [account.address, consent, signature],
      recordIdOf: [header],
      recordSignatureHash: [header, deadline],
      recordsSignatureHash: [account.address, [recordId], deadline],
      ownershipSignatureHash: [recordId, owner.address],
      addOwnerSignatureHash: [recordId, owner.address, keccak256(note), DEADLINE],
      isOwner: [recordId, owner.address],
    });
    // `slash` is called by a challenge: gas-oprf.ts.
    meter.checkComplete(registry, ["slash"]);
    meter.checkComplete(ledger);
    return meter.figures;
  } finally {
    await connection.close();
  }
}

if (import.meta.main) {
  for (const { name, gas } of await measureLedgerGas(RULES_OF_TODAY)) console.log(`${name.padEnd(32)} ${gas}`);
}
