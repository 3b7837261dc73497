/** The order of a committee's members that contracts compute, against the vectors and against offchain/. */

import { readFileSync } from "node:fs";
import { expect } from "chai";
import { Contract, Interface, type InterfaceAbi, type JsonRpcProvider } from "ethers";
import {
  attestGenerationCall,
  createCommitteeCall,
  createdCommitteeId,
  readCommittee,
  registerNodeCall,
  requestExitCall,
} from "../../offchain/chain/registry.ts";
import { NodeRegistry__factory } from "../../offchain/chain/types/factories/NodeRegistry__factory.ts";
import { ASSIGNMENT_EPOCH_SECONDS, assignedOrder } from "../../offchain/core/assignment/assignment.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import vectors from "../vectors/assignment.json" with { type: "json" };

const HARNESS = new URL("../../artifacts/contracts/test/RendezvousHarness.sol/RendezvousHarness.json", import.meta.url);
const ETHER = 10n ** 18n;

describe("assigned nodes, on chain", () => {
  let local: LocalChain;

  before(async () => {
    local = await startLocalChain();
  });
  after(() => local.stop());

  it("are those of the vectors: draws, logarithms and orders", async () => {
    const { abi, deployedBytecode } = JSON.parse(readFileSync(HARNESS, "utf8")) as {
      abi: InterfaceAbi;
      deployedBytecode: string;
    };
    const provider = local.chain.provider as JsonRpcProvider;
    const address = `0x${"a5".repeat(20)}`;
    await provider.send("anvil_setCode", [address, deployedBytecode]);
    const harness = new Contract(address, new Interface(abi), provider);
    const call = async (name: string, ...values: unknown[]): Promise<unknown> =>
      await harness.getFunction(name).staticCall(...values);
    for (const { draw, surprisal } of vectors.surprisals) {
      expect(await call("surprisalOf", draw)).to.equal(BigInt(surprisal));
    }
    for (const { committeeId, epoch, user, members, order } of vectors.cases) {
      for (const { operator, draw, surprisal } of members) {
        expect(await call("drawOf", committeeId, epoch, user, operator)).to.equal(draw);
        expect(await call("surprisalOf", draw)).to.equal(BigInt(surprisal));
      }
      const operators = members.map(({ operator }) => operator);
      const weights = members.map(({ weight }) => weight);
      expect([...((await call("order", committeeId, epoch, user, operators, weights)) as string[])]).to.deep.equal(
        order,
      );
    }
  });

  it("follow from what the registry says of the members", async () => {
    const { deployment, chain } = local;
    const registry = NodeRegistry__factory.connect(deployment.contracts.nodeRegistry, chain.provider);
    expect(await registry.ASSIGNMENT_EPOCH_SECONDS()).to.equal(BigInt(ASSIGNMENT_EPOCH_SECONDS));
    const wallets = [2, 3, 4, 5, 6].map((index) => local.account(index));
    const operators = wallets.map(({ address }) => address);
    await local.fund(operators, 1000n * ETHER);
    const send = async (index: number, call: { to: string; data: string; value?: bigint }) => {
      const sent = await wallets[index]?.sendTransaction({ to: call.to, data: call.data, value: call.value ?? 0n });
      return (await sent?.wait()) ?? expect.fail("not mined");
    };
    for (const index of wallets.keys()) {
      const stakeWei = (await registry.MIN_STAKE_WEI()) * BigInt(index + 1);
      await send(
        index,
        registerNodeCall(deployment, { url: "http://node", hpkePublicKey: new Uint8Array(32).fill(1), stakeWei }),
      );
    }
    const id = createdCommitteeId(deployment, await send(0, createCommitteeCall(deployment, operators, 3)));
    const point = (value: number) => new Uint8Array(32).fill(value);
    const publicKeys = { groupPublicKey: point(9), verificationShares: operators.map((_, index) => point(index + 1)) };
    const keys = { oprf: publicKeys, record: publicKeys };
    for (const index of wallets.keys()) await send(index, attestGenerationCall(deployment, id, 1, keys));
    await send(4, requestExitCall(deployment));

    const { members } = await readCommittee(chain, id, 1);
    expect(members.map(({ stakeWei }) => stakeWei / (members[0]?.stakeWei ?? 1n))).to.deep.equal([1n, 2n, 3n, 4n, 5n]);
    const leaders = new Set<string | undefined>();
    for (let epoch = 0; epoch < 20; epoch += 1) {
      const user = local.account(epoch % 2).address;
      const computed = assignedOrder({ committeeId: id, user, epoch }, members).map(({ operator }) => operator);
      expect([...(await registry.assignedNodes(id, user, epoch))]).to.deep.equal(computed);
      expect(computed.at(-1)).to.equal(operators[4]);
      leaders.add(computed[0]);
    }
    expect(leaders.size).to.be.above(1);
  });
});
