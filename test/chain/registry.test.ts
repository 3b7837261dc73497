import { expect } from "chai";
import { hexlify, randomBytes } from "ethers";
import { type ChainReader, connectChain, type Deployment } from "../../offchain/chain/deployment.ts";
import {
  assignCommitteeCall,
  attestGenerationCall,
  createCommitteeCall,
  createdCommitteeId,
  keyMaterialHash,
  listCommittees,
  listNodes,
  readAttestation,
  readCommittee,
  readCommitteeKeys,
  readCommitteeOf,
  readNode,
  readStakeTerms,
  registerNodeCall,
  requestExitCall,
  updateNodeCall,
  withdrawStakeCall,
} from "../../offchain/chain/registry.ts";
import { scanRegistry } from "../../offchain/chain/registry-events.ts";
import { ChainRevertedError } from "../../offchain/chain/revert.ts";
import { TransactionSender } from "../../offchain/chain/sender.ts";
import { NodeRegistry__factory } from "../../offchain/chain/types/factories/NodeRegistry__factory.ts";
import { InvalidInputError, TallystickError } from "../../offchain/core/errors.ts";
import { type Anvil, anvilKey, startAnvil } from "../helpers/anvil.ts";
import { deployTo } from "../helpers/contracts.ts";
import { keyMaterial } from "../helpers/key-material.ts";
import { collect, failure } from "../helpers/promises.ts";

const STAKE_WEI = 3n * 10n ** 17n;
const EXIT_DELAY_SECONDS = 1000;

describe("node registry on a chain", () => {
  let anvil: Anvil;
  let deployment: Deployment;
  let chain: ChainReader;
  const keys = [1, 2, 3].map((number) => new Uint8Array(32).fill(number));
  const group = new Uint8Array(32).fill(0xaa);
  const material = keyMaterial(group, keys);
  let nodes: TransactionSender[];
  let operators: string[];

  before(async () => {
    anvil = await startAnvil();
    deployment = await deployTo(anvil.url, {
      minStakeWei: STAKE_WEI,
      exitDelaySeconds: BigInt(EXIT_DELAY_SECONDS),
    });
    chain = await connectChain(deployment);
    nodes = keys.map((_, position) => new TransactionSender(chain, anvilKey(position + 1)));
    operators = nodes.map((node) => node.address);
  });
  after(async () => {
    chain.close();
    await anvil.kill();
  });

  const at = <T>(list: readonly T[], position: number): T => {
    const item = list[position];
    if (item === undefined) throw new Error(`nothing at ${position}`);
    return item;
  };

  it("is empty at first", async () => {
    expect(await readStakeTerms(chain)).to.deep.equal({
      minStakeWei: STAKE_WEI,
      exitDelaySeconds: EXIT_DELAY_SECONDS,
    });
    expect(await collect(listNodes(chain))).to.deep.equal([]);
    expect(await collect(listCommittees(chain))).to.deep.equal([]);
    expect(await readNode(chain, at(operators, 0))).to.equal(undefined);
    expect(await readCommitteeOf(chain, at(operators, 0))).to.equal(undefined);
    const missing = await failure(readCommittee(chain, 1n));
    expect(missing).to.be.instanceOf(TallystickError);
    expect(missing).to.include({ code: "NOT_FOUND", expected: "none exists yet", received: "1" });
  });

  it("lists the nodes that registered", async () => {
    for (const [position, node] of nodes.entries()) {
      await node.send(
        registerNodeCall(deployment, {
          url: `http://127.0.0.1:${7000 + position}`,
          hpkePublicKey: at(keys, position),
          stakeWei: STAKE_WEI + BigInt(position),
        }),
      );
    }
    const listed = await collect(listNodes(chain));
    expect(listed.map(({ operator, url, stakeWei }) => ({ operator, url, stakeWei }))).to.deep.equal(
      operators.map((operator, position) => ({
        operator,
        url: `http://127.0.0.1:${7000 + position}`,
        stakeWei: STAKE_WEI + BigInt(position),
      })),
    );
    expect(listed.map(({ hpkePublicKey }) => hpkePublicKey)).to.deep.equal(keys);
    expect(await readNode(chain, at(operators, 1))).to.deep.equal(listed[1]);
    expect(Math.abs(at(listed, 0).registeredAt - Date.now() / 1000)).to.be.lessThan(600);
  });

  it("forms a committee that is read as forming", async () => {
    const receipt = await at(nodes, 0).send(createCommitteeCall(deployment, operators, 2));
    expect(createdCommitteeId(deployment, receipt)).to.equal(1n);
    const committee = await readCommittee(chain, 1n);
    expect(committee).to.include({ id: 1n, generation: 1, status: "forming", size: 3, threshold: 2, from: 0 });
    expect(await failure(readCommitteeKeys(chain, 1n))).to.include({ code: "CONFLICT", received: "forming" });
    expect(committee.members.map(({ index, operator }) => [index, operator])).to.deep.equal(
      operators.map((operator, position) => [position + 1, operator]),
    );
    expect(committee.members.map(({ hpkePublicKey }) => hpkePublicKey)).to.deep.equal(keys);
    const other = await at(nodes, 0).send(
      updateNodeCall(deployment, { url: "http://127.0.0.1:7000", hpkePublicKey: at(keys, 0) }),
    );
    expect(() => createdCommitteeId(deployment, other)).to.throw(InvalidInputError);
  });

  it("refuses what the contract refuses, by name", async () => {
    const error = (await failure(
      at(nodes, 0).send(attestGenerationCall(deployment, 1n, 1, keyMaterial(group, keys.slice(1)))),
    )) as ChainRevertedError;
    expect(error).to.be.instanceOf(ChainRevertedError);
    expect(error.revert).to.deep.include({ name: "VerificationShareCount", args: { expected: 3n, received: 2n } });
  });

  it("becomes active when all have attested, and is then everybody's default", async () => {
    expect(await readAttestation(chain, 1n, 1, at(operators, 0))).to.equal(undefined);
    for (const node of nodes) await node.send(attestGenerationCall(deployment, 1n, 1, material));
    const hash = keyMaterialHash(material);
    expect(await readAttestation(chain, 1n, 1, at(operators, 0))).to.equal(hash);
    const contract = NodeRegistry__factory.connect(deployment.contracts.nodeRegistry, chain.provider);
    expect(
      await contract.hashKeyMaterial({
        ...{ oprfPublicKey: hexlify(group), recordPublicKey: hexlify(group) },
        ...{ oprfShares: keys.map(hexlify), recordShares: keys.map(hexlify) },
      }),
    ).to.equal(hash);

    const committee = await readCommitteeKeys(chain, 1n);
    expect(committee).to.include({ generation: 1, status: "active", keyMaterialHash: hash });
    expect(committee.keys).to.deep.equal(material);
    expect(await readCommitteeOf(chain, "0x00000000000000000000000000000000000000aa")).to.equal(1n);
  });

  it("assigns the committee that an account chose", async () => {
    await at(nodes, 2).send(createCommitteeCall(deployment, [at(operators, 2)], 1));
    await at(nodes, 2).send(attestGenerationCall(deployment, 2n, 1, keyMaterial(group, [at(keys, 0)])));
    await at(nodes, 1).send(assignCommitteeCall(deployment, 2n));
    expect(await readCommitteeOf(chain, at(operators, 1))).to.equal(2n);
    expect(await readCommitteeOf(chain, at(operators, 0))).to.equal(1n);
    expect((await collect(listCommittees(chain))).map(({ id }) => id)).to.deep.equal([1n, 2n]);
  });

  it("pays out a node that leaves, and shows its place in the committee as empty", async () => {
    const vault = hexlify(randomBytes(20));
    await at(nodes, 0).send(requestExitCall(deployment));
    const exitAt = (await readNode(chain, at(operators, 0)))?.exitAt;
    expect((await readCommittee(chain, 1n)).members[0]?.exitAt)
      .to.equal(exitAt)
      .and.to.be.greaterThan(0);
    const early = (await failure(at(nodes, 0).send(withdrawStakeCall(deployment, vault)))) as ChainRevertedError;
    expect(early.revert.name).to.equal("ExitPending");
    expect(early.revert.args.exitAt).to.equal(BigInt(exitAt ?? 0));

    await anvil.rpc("evm_increaseTime", [EXIT_DELAY_SECONDS]);
    await anvil.rpc("evm_mine");
    await at(nodes, 0).send(withdrawStakeCall(deployment, vault));
    expect(await chain.provider.getBalance(vault)).to.equal(STAKE_WEI);
    expect(await readNode(chain, at(operators, 0))).to.equal(undefined);
    expect((await collect(listNodes(chain))).map(({ operator }) => operator)).to.have.members(operators.slice(1));
    const [left, stays] = (await readCommittee(chain, 1n)).members;
    expect(left).to.deep.include({ index: 1, operator: at(operators, 0), url: "", hpkePublicKey: new Uint8Array() });
    expect(stays?.url).to.equal("http://127.0.0.1:7001");
  });

  it("tells all of this as events", async () => {
    const head = await chain.provider.getBlockNumber();
    const events = await collect(scanRegistry(chain, deployment.deployedAtBlock, head, { pageBlocks: 4 }));
    expect(events.map(({ kind }) => kind)).to.deep.equal([
      ...Array.from({ length: 3 }, () => "NodeRegistered"),
      "GenerationOpened",
      "NodeUpdated",
      ...Array.from({ length: 3 }, () => "GenerationAttested"),
      "GenerationActivated",
      "GenerationOpened",
      "GenerationAttested",
      "GenerationActivated",
      "CommitteeAssigned",
      "ExitRequested",
      "StakeWithdrawn",
    ]);
    expect(events[0]).to.deep.include({
      operator: at(operators, 0),
      url: "http://127.0.0.1:7000",
      hpkePublicKey: keys[0],
    });
    expect(events[3]).to.deep.include({ id: 1n, generation: 1, from: 0, threshold: 2, members: operators });
    expect(events[7]).to.deep.include({ member: at(operators, 2), agreeing: 3 });
    expect(events[8]).to.deep.include({ id: 1n, generation: 1, keys: material });
    expect(events[12]).to.deep.include({ account: at(operators, 1), id: 2n });
    expect(events[14]).to.deep.include({ operator: at(operators, 0), stakeWei: STAKE_WEI });
    const places = events.map(({ blockNumber, logIndex }) => blockNumber * 1000 + logIndex);
    expect(places).to.deep.equal(places.toSorted((a, b) => a - b));
  });
});
