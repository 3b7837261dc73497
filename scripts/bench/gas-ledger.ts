/**
 * Gas of the node registry and the key ledger: whole transactions as a user pays for them, call data included, on
 * Hardhat's own network with the production build of the contracts. Payloads are random bytes, the worst case for call
 * data.
 */

import { hexlify, keccak256, randomBytes, type TransactionResponse, Wallet } from "ethers";
import { network } from "hardhat";
import { deployTallystick } from "../../ignition/deploy-tallystick.ts";
import { recordDigest, recordIdOf } from "../../offchain/chain/ledger.ts";
import { KeyLedger__factory } from "../../offchain/chain/types/factories/KeyLedger__factory.ts";
import { NodeRegistry__factory } from "../../offchain/chain/types/factories/NodeRegistry__factory.ts";
import {
  addOwnerTypedData,
  keyRecordTypedData,
  ownershipTypedData,
  type TypedData,
} from "../../offchain/core/identity/typed-messages.ts";

export interface GasFigure {
  readonly name: string;
  readonly gas: number;
}

export interface LedgerGasOptions {
  /** Bytes of a record payload; default 806: a self envelope and five shares. */
  readonly payloadBytes?: number;
}

const COMMITTEE_SIZE = 5;
const THRESHOLD = 3;
const BATCH = 8;
const DEADLINE = 2n ** 40n;

/** Figures for one run; deterministic but for the zero bytes that random data happens to hold. */
export async function measureLedgerGas(options: LedgerGasOptions = {}): Promise<GasFigure[]> {
  const payloadBytes = options.payloadBytes ?? 806;
  const connection = await network.create();
  try {
    const { contracts, chainId } = await deployTallystick(connection);
    const signers = await connection.ethers.getSigners();
    const [relay, ...operators] = signers.slice(0, COMMITTEE_SIZE + 1);
    if (relay === undefined) throw new Error("the network has no accounts");
    const registry = NodeRegistry__factory.connect(contracts.nodeRegistry, relay);
    const ledger = KeyLedger__factory.connect(contracts.keyLedger, relay);
    const figures: GasFigure[] = [];
    const measure = async (name: string, sent: Promise<TransactionResponse>, per = 1): Promise<void> => {
      const receipt = await (await sent).wait();
      if (receipt === null) throw new Error(`${name} was not mined`);
      figures.push({ name, gas: Math.ceil(Number(receipt.gasUsed) / per) });
    };
    const last = <T>(list: T[]): T[] => list.slice(-1);

    const stake = { value: await registry.MIN_STAKE_WEI() };
    const register = operators.map(
      (operator, index) => () =>
        registry.connect(operator).registerNode(`https://node-${index}.example.org:8443`, randomBytes(32), stake),
    );
    for (const send of register.slice(0, -1)) await (await send()).wait();
    for (const send of last(register)) await measure("registerNode", send());

    const [first] = operators;
    if (first === undefined) throw new Error("no operators");
    await measure(
      `createCommittee ${THRESHOLD} of ${COMMITTEE_SIZE}`,
      registry.connect(first).createCommittee(operators, THRESHOLD),
    );
    const keys: [Uint8Array, Uint8Array[]] = [randomBytes(32), operators.map(() => randomBytes(32))];
    for (const [index, operator] of operators.entries()) {
      const name = index === 0 ? "attestCommittee first" : index === COMMITTEE_SIZE - 1 ? "attestCommittee last" : "";
      const sent = registry.connect(operator).attestCommittee(1n, ...keys);
      if (name === "") await (await sent).wait();
      else await measure(name, sent);
    }

    const sign = <M extends object>(
      wallet: { signTypedData: Wallet["signTypedData"] },
      data: TypedData<M>,
    ): Promise<string> => wallet.signTypedData(data.domain, data.types, data.message);
    const now = BigInt((await connection.ethers.provider.getBlock("latest"))?.timestamp ?? 0);
    const signedRecord = async (account: Wallet, ownershipKey: string, keyTime: bigint) => {
      const record = {
        account: account.address,
        fileTag: keccak256(account.address),
        committeeId: 1n,
        keyTime,
        ownershipKey,
        payload: hexlify(randomBytes(payloadBytes)),
      };
      const { payload, ...fields } = record;
      const message = { ...fields, payloadHash: keccak256(payload), deadline: DEADLINE };
      const signature = await sign(account, keyRecordTypedData(BigInt(chainId), contracts.keyLedger, message));
      return { record, header: { ...fields, payloadHash: message.payloadHash }, deadline: DEADLINE, signature };
    };

    const account = Wallet.createRandom() as unknown as Wallet;
    const ownership = Wallet.createRandom() as unknown as Wallet;
    const one = await signedRecord(account, ownership.address, now);
    await measure(`record, ${payloadBytes}-byte payload`, ledger.record(one.record, one.deadline, one.signature));
    const renewed = await signedRecord(account, ownership.address, now + 1n);
    await measure("record, renewed", ledger.record(renewed.record, renewed.deadline, renewed.signature));

    const many = [];
    for (let i = 0; i < BATCH; i++) {
      many.push(await signedRecord(Wallet.createRandom() as unknown as Wallet, ownership.address, now));
    }
    await measure(`recordMany of ${BATCH}, per record`, ledger.recordMany(many), BATCH);

    const owner = Wallet.createRandom() as unknown as Wallet;
    const recordId = recordIdOf(account.address, one.record.fileTag);
    const note = hexlify(randomBytes(81));
    const joining = { recordId, digest: recordDigest(renewed.header), owner: owner.address };
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
    return figures;
  } finally {
    await connection.close();
  }
}

if (import.meta.main) {
  for (const { name, gas } of await measureLedgerGas()) console.log(`${name.padEnd(32)} ${gas}`);
}
