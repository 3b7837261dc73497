/** What a relay pays for; the relay as a whole is tested with the node (test/nbm/node.test.ts). */
import { expect } from "chai";
import { JsonRpcProvider, Wallet } from "ethers";
import { ledgerAbi } from "../../../offchain/chain/abis.ts";
import type { ContractCall } from "../../../offchain/chain/contract-call.ts";
import { recordIdOf } from "../../../offchain/chain/ledger.ts";
import type { CallOptions } from "../../../offchain/chain/sender.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { addOwnerTypedData, ownershipTypedData } from "../../../offchain/core/identity/typed-messages.ts";
import { Relay, type RelayOptions } from "../../../offchain/nbm/records/relay.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const CHAIN_ID = 31_337n;
const GWEI = 10n ** 9n;
/** keccak256 of no bytes: the hash of an empty note. */
const EMPTY_HASH = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";

describe("relay", () => {
  const ledger = Wallet.createRandom().address;
  const owner = Wallet.createRandom();
  const ownershipKey = Wallet.createRandom();
  const header = {
    account: Wallet.createRandom().address,
    fileTag: `0x${"22".repeat(32)}`,
    committeeId: 1n,
    keyTime: 1_800_000_000n,
    ownershipKey: ownershipKey.address,
    payloadHash: `0x${"33".repeat(32)}`,
  };
  const now = 1_800_000_000;
  const recordId = recordIdOf(header);

  /** A chain that has the record, without the owner. */
  const provider = new (class extends JsonRpcProvider {
    override async call({ data }: { data?: unknown }): Promise<string> {
      const { name = "", args } = ledgerAbi().parseTransaction({ data: String(data) }) ?? {};
      const isKnown = String(args?.[0]) === recordId;
      return ledgerAbi().encodeFunctionResult(name, [name === "recordedAt" ? (isKnown ? header.keyTime : 0n) : false]);
    }
    override async getFeeData(): Promise<never> {
      return { gasPrice: 20n * GWEI } as never;
    }
  })("http://127.0.0.1:9", Number(CHAIN_ID), { staticNetwork: true });

  function relayThat(
    send: (call: ContractCall, signal?: AbortSignal, options?: CallOptions) => Promise<unknown>,
    take: (account: string) => void = () => undefined,
  ): Relay {
    return new Relay({
      chain: { provider, deployment: { chainId: Number(CHAIN_ID), contracts: { keyLedger: ledger } } },
      sender: { send },
      memberships: { indicesIn: async () => [1] },
      budget: { take },
      maximumFeeGwei: 30,
      now: () => now,
    } as unknown as RelayOptions);
  }

  async function request(deadline = BigInt(now + 600)) {
    const ownership = ownershipTypedData(CHAIN_ID, ledger, { recordId, owner: owner.address });
    const addition = { recordId, owner: owner.address, noteHash: EMPTY_HASH, deadline };
    const typed = addOwnerTypedData(CHAIN_ID, ledger, addition);
    return {
      header: { ...header, committeeId: "1", keyTime: String(header.keyTime) },
      owner: owner.address,
      note: "0x",
      deadline: String(deadline),
      ownershipSignature: await ownershipKey.signTypedData(ownership.domain, ownership.types, ownership.message),
      ownerSignature: await owner.signTypedData(typed.domain, typed.types, typed.message),
    };
  }

  it("bounds the fee of the transaction and its replacements by its own cap, not the account's", async () => {
    const limits: unknown[] = [];
    const relay = relayThat(async (_call, _signal, options) => {
      limits.push(options?.maximumFeePerGas);
      return { hash: `0x${"44".repeat(32)}`, blockNumber: 9 };
    });
    expect(await relay.owner(owner.address, recordId, await request())).to.include({ blockNumber: 9 });
    expect(limits).to.deep.equal([30n * GWEI]);
  });

  it("has the account pay for its delegates, so that more of them have no more", async () => {
    const charged: string[] = [];
    const send = async () => ({ hash: `0x${"44".repeat(32)}`, blockNumber: 9 });
    const relay = relayThat(send, (account) => charged.push(account));
    const principal = Wallet.createRandom().address;
    await relay.owner(owner.address, recordId, await request(), principal);
    await relay.owner(owner.address, recordId, await request());
    expect(charged).to.deep.equal([principal, owner.address]);
  });

  it("relays nothing that the key of the account did not sign, whatever a wallet's code might say", async () => {
    const relay = relayThat(async () => {
      throw new Error("it was sent");
    });
    const asked = await request();
    const signatures = [
      asked.ownershipSignature,
      // What a wallet's code might take: no ECDSA signature at all.
      `0x${"00".repeat(65)}`,
      `0x${"00".repeat(100)}`,
      "0x",
    ];
    for (const ownerSignature of signatures) {
      const sent = async () => relay.owner(owner.address, recordId, { ...asked, ownerSignature });
      const error = await expectAsyncRejection(sent, "INVALID_SIGNATURE");
      expect(error).to.include({ check: "EIP-712 signature", party: `account ${owner.address}` });
    }
  });

  it("asks to wait when the fee has risen above its cap by the time the transaction is signed", async () => {
    const relay = relayThat(async () => {
      const facts = { code: "FUNDS", check: "fee cap", received: "31 gwei" } as const;
      throw new TallystickError("the chain's base fee is above the account's fee cap", facts);
    });
    const sent = async () => relay.owner(owner.address, recordId, await request());
    const refused = await expectAsyncRejection(sent, "RATE_LIMITED");
    expect(refused).to.include({ check: "relay fee cap", received: "31 gwei" });
  });

  it("relays no signature that could expire before it is mined, and nothing is sent for it", async () => {
    let sent = 0;
    const relay = relayThat(async () => {
      sent += 1;
      return { hash: `0x${"44".repeat(32)}`, blockNumber: 9 };
    });
    for (const left of [-1, 0, 299]) {
      const deadline = BigInt(now + left);
      const { keyTime, account, fileTag } = header;
      const record = { account, fileTag, committeeId: "1", keyTime: String(keyTime + 1n), payload: "0x00" };
      const recorded = { record: { ...record, ownershipKey: account }, deadline: String(deadline), signature: "0x" };
      for (const late of [
        async () => relay.owner(owner.address, recordId, await request(deadline)),
        async () => relay.record(account, recorded),
      ]) {
        expect(await expectAsyncRejection(late, "INVALID_SIGNATURE")).to.include({ check: "deadline" });
      }
    }
    expect(sent).to.equal(0);
    await relay.owner(owner.address, recordId, await request(BigInt(now + 300)));
    expect(sent).to.equal(1);
  });
});
