/** What a node reads of the registry: what names it, whatever strangers open and whatever a reorganisation undoes. */

import { expect } from "chai";
import { nodeRegistry } from "../../../offchain/chain/contracts.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import { connectChain } from "../../../offchain/chain/deployment.ts";
import { REORGANISED_BLOCKS } from "../../../offchain/chain/logs.ts";
import {
  attestGenerationCall,
  createCommitteeCall,
  keyMaterialHash,
  proposeGenerationCall,
  readCommittee,
  registerNodeCall,
} from "../../../offchain/chain/registry.ts";
import { TransactionSender } from "../../../offchain/chain/sender.ts";
import { hpkeKeyPairFromSeed } from "../../../offchain/core/crypto/hpke.ts";
import { Memberships } from "../../../offchain/nbm/generations/memberships.ts";
import { Namings } from "../../../offchain/nbm/generations/namings.ts";
import { RecordSeals } from "../../../offchain/nbm/records/record-seals.ts";
import { NBM_MIGRATIONS } from "../../../offchain/nbm/tables.ts";
import { openDatabase } from "../../../offchain/store/index/sqlite.ts";
import { type Anvil, anvilKey, startAnvil } from "../../helpers/anvil.ts";
import { deployTo } from "../../helpers/contracts.ts";
import { keyMaterial } from "../../helpers/key-material.ts";

const STRANGERS_GENERATIONS = 12;

describe("generations that name a node", () => {
  let anvil: Anvil;
  let chain: ChainReader;
  let node: TransactionSender;
  let stranger: TransactionSender;
  /** Requests to the chain since it was last set to 0. */
  let requests = 0;

  before(async () => {
    anvil = await startAnvil();
    chain = await connectChain(await deployTo(anvil.url, {}));
    [node, stranger] = [1, 2].map((number) => new TransactionSender(chain, anvilKey(number))) as [
      TransactionSender,
      TransactionSender,
    ];
    const { publicKey } = hpkeKeyPairFromSeed(new Uint8Array(32).fill(3));
    for (const each of [node, stranger]) {
      const registered = { url: "http://node", hpkePublicKey: publicKey, stakeWei: 10n ** 18n };
      await each.send(registerNodeCall(chain.deployment, registered));
    }
    await chain.provider.on("debug", ({ action }) => {
      if (action === "sendRpcPayload") requests += 1;
    });
  });
  after(async () => {
    chain?.close();
    await anvil?.kill();
  });

  function fresh() {
    const database = openDatabase(":memory:", { migrations: NBM_MIGRATIONS });
    const options = { chain, database, operator: node.address, overlapBlocks: 128 };
    const namings = new Namings(options);
    return { namings, options, memberships: new Memberships(chain, node.address, namings) };
  }
  async function counted(work: () => Promise<unknown>): Promise<number> {
    requests = 0;
    await work();
    return requests;
  }
  const nextCommittee = async () => (await nodeRegistry(chain).committeeCount()) + 1n;
  const create = (by: TransactionSender, ...members: TransactionSender[]) =>
    by.send(
      createCommitteeCall(
        chain.deployment,
        members.map(({ address }) => address),
        1,
      ),
    );

  it("are all that it reads, however many generations strangers open", async () => {
    await create(node, node, stranger);
    const before = await counted(() => fresh().namings.catchUp());
    const material = keyMaterial(new Uint8Array(32).fill(0xaa), [new Uint8Array(32).fill(1)]);
    await create(stranger, stranger);
    await stranger.send(attestGenerationCall(chain.deployment, 2n, 1, material));
    for (let number = 2; number <= STRANGERS_GENERATIONS; number += 1) {
      await stranger.send(proposeGenerationCall(chain.deployment, 2n, number, [stranger.address], 1));
      await stranger.send(attestGenerationCall(chain.deployment, 2n, number, material));
    }
    expect((await readCommittee(chain, 2n)).keyMaterialHash).to.equal(keyMaterialHash(material));

    const { namings, options, memberships } = fresh();
    expect(await counted(() => namings.catchUp())).to.equal(before);
    expect(namings.fresh()).to.deep.equal([{ committeeId: 1n, generation: 1 }]);
    // A record of the stranger's committee: nothing is read about it but the newest block.
    expect(await counted(() => memberships.indicesIn(2n))).to.be.at.most(1);
    expect(await memberships.indicesIn(2n)).to.deep.equal([]);
    // After a restart, what was looked at is not looked at again.
    namings.see({ committeeId: 1n, generation: 1 });
    const again = new Namings(options);
    expect(await counted(() => again.catchUp())).to.be.at.most(1);
    expect(again.fresh()).to.deep.equal([]);
    expect(again.openingsOf(1n).map(({ generation }) => generation)).to.deep.equal([1]);
    expect(again.committeesFirstWith()).to.deep.equal([1n]);
  });

  it("are forgotten and found again as a reorganisation undoes and opens them", async () => {
    const { namings } = fresh();
    const before: unknown = await chain.provider.send("evm_snapshot", []);
    await create(node, node);
    await namings.catchUp();
    expect(namings.fresh().map(({ committeeId }) => committeeId)).to.deep.equal([1n, 3n]);
    for (const id of namings.fresh()) namings.see(id);
    await chain.provider.send("evm_revert", [before]);
    await namings.catchUp();
    expect(namings.openingsOf(3n)).to.deep.equal([]);
    await new TransactionSender(chain, anvilKey(2)).send(
      createCommitteeCall(chain.deployment, [stranger.address, node.address], 2),
    );
    await namings.catchUp();
    expect(namings.fresh()).to.deep.equal([{ committeeId: 3n, generation: 1 }]);
  });

  it("give the position in the generation of now, when a reorganisation opens another one of its number", async () => {
    const { namings, memberships } = fresh();
    const seals = new RecordSeals(chain);
    const material = (members: number) =>
      keyMaterial(
        new Uint8Array(32).fill(0xb0 + members),
        Array.from({ length: members }, (_, at) => new Uint8Array(32).fill(at + 1)),
      );
    const id = await nextCommittee();
    const before: unknown = await chain.provider.send("evm_snapshot", []);
    const first = new TransactionSender(chain, anvilKey(1));
    await create(first, node);
    await first.send(attestGenerationCall(chain.deployment, id, 1, material(1)));
    expect(await memberships.indicesIn(id)).to.deep.equal([1]);
    const { groupKey } = await seals.of(id);

    await chain.provider.send("evm_revert", [before]);
    const [again, other] = [1, 2].map((number) => new TransactionSender(chain, anvilKey(number))) as [
      TransactionSender,
      TransactionSender,
    ];
    await create(other, stranger, node);
    for (const each of [again, other]) {
      await each.send(attestGenerationCall(chain.deployment, id, 1, material(2)));
    }
    await namings.catchUp();
    expect(await memberships.indicesIn(id)).to.deep.equal([2]);
    const present = await seals.of(id);
    expect(present.groupKey).not.to.deep.equal(groupKey);
    // What no reorganisation reaches is read once.
    await chain.provider.send("anvil_mine", [`0x${REORGANISED_BLOCKS.toString(16)}`]);
    await seals.of(id);
    expect(await counted(async () => expect(await seals.of(id)).to.deep.equal(present))).to.equal(0);
  });
});
