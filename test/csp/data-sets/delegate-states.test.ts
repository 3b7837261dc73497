/** What a provider takes of a delegate of the user, and what it pays to send. */
import { expect } from "chai";
import { JsonRpcProvider, keccak256, Wallet } from "ethers";
import { directoryAbi } from "../../../offchain/chain/abis.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import type { SliceRange } from "../../../offchain/core/audit/challenge.ts";
import { encodeLiveRanges } from "../../../offchain/core/data-set/ranges.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { isSendable, requireSignedForUser } from "../../../offchain/csp/data-sets/delegate-states.ts";
import type { Proposal } from "../../../offchain/csp/data-sets/state-checks.ts";
import { stateTypedData } from "../../../offchain/csp/data-sets/state-signatures.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const ID = `0x${"1d".repeat(32)}`;
const LIMIT = 1500n;
const range = (firstIndex: number, count: number): SliceRange => ({ firstIndex, count });

describe("states that a delegate of the user signs", () => {
  const user = Wallet.createRandom().address;
  const device = Wallet.createRandom();
  const contracts = { storageEscrow: Wallet.createRandom().address, accountDirectory: Wallet.createRandom().address };
  const agreed = { id: ID, terms: { user } };

  /** A directory in which the device has a limit for the set. */
  const provider = new (class extends JsonRpcProvider {
    override async call({ data }: { data?: unknown }): Promise<string> {
      const { name = "", args = [] } = directoryAbi().parseTransaction({ data: String(data) }) ?? {};
      const isDevice = [device.address, user, ID].every((one, place) => String(args[place]) === one);
      return directoryAbi().encodeFunctionResult(name, [isDevice ? LIMIT : 0n]);
    }
  })("http://127.0.0.1:9", 31_337, { staticNetwork: true });
  const chain = { provider, deployment: { chainId: 31_337, contracts } } as unknown as ChainReader;

  const stateOf = (ranges: readonly SliceRange[], version = 3n, retirements = 0) => ({
    ...{ version, retirements, ranges: encodeLiveRanges(ranges) },
    ...{ contentHash: keccak256("0x01"), deadlineBlock: 1000 },
  });
  const signed = async (ranges: readonly SliceRange[]) => {
    const state = stateOf(ranges);
    const { domain, types, message } = stateTypedData(chain.deployment, ID, state);
    return { ...state, userSignature: await device.signTypedData(domain, types, { ...message }) };
  };

  /** @param waiting states that are signed and not mined, of which the chain has version 1, with slices 1 to 100 */
  async function propose(ranges: readonly SliceRange[], waiting: ReturnType<typeof stateOf>[]): Promise<void> {
    const state = await signed(ranges);
    const proposal = {
      ...{ row: { id: 7 }, agreed, ranges },
      before: { schedule: { version: 1n }, retirements: 0, ranges: [range(1, 100)] },
      request: { ...state, ranges: toHex(state.ranges) },
    } as unknown as Proposal;
    const index = { dataSets: { statesOf: async () => waiting } };
    const checkSignature = async () => {
      throw new Error("the account itself was asked");
    };
    const parts = { chain, index, checkSignature } as unknown as Parameters<typeof requireSignedForUser>[0];
    await requireSignedForUser(parts, proposal, stateTypedData(chain.deployment, ID, state), LIMIT);
  }

  it("keep what the chain has, and what states that wait add to it", async () => {
    const waiting = stateOf([range(1, 120)], 2n);
    await propose([range(1, 110)], []);
    await propose([range(1, 130)], [waiting]);
    const dropped = await expectAsyncRejection(
      () => propose([range(1, 110), range(122, 5)], [waiting]),
      "OUT_OF_SCOPE",
    );
    expect(dropped).to.include({ check: "slices of a state that waits", party: `delegate ${device.address}` });
    expect(await expectAsyncRejection(() => propose([range(2, 130)], []), "OUT_OF_SCOPE")).to.include({
      check: "scheduled slices",
    });
    // Neither a state that the chain has, nor one that a retirement has made void, comes any more.
    await propose([range(1, 110)], [stateOf([range(1, 120)], 1n), stateOf([range(1, 120)], 2n, 1)]);
  });

  it("are sent for an open set only: of another one, the escrow would ask the code of the user", async () => {
    const state = await signed([range(1, 110)]);
    expect(await isSendable(chain, agreed as never, state, true)).to.equal(true);
    expect(await isSendable(chain, agreed as never, state, false)).to.equal(false);
    const foreign = { ...agreed, id: `0x${"2d".repeat(32)}` };
    expect(await isSendable(chain, foreign as never, state, true)).to.equal(false);
  });
});
