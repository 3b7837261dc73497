/**
 * The same small instance for real: a registry on a chain whose blocks are taken back, and per node a database with
 * real key shares, over which each action "advance" starts a coordinator anew. Runs are made in this process and their
 * outcomes put on disk as the steps of a run do it: how nodes exchange messages is not what this is about.
 */

import { Wallet } from "ethers";
import { pino } from "pino";
import type { ContractCall } from "../../../../offchain/chain/contract-call.ts";
import { type ChainReader, connectChain, type Deployment } from "../../../../offchain/chain/deployment.ts";
import {
  attestGenerationCall,
  createCommitteeCall,
  keyMaterialHash,
  proposeGenerationCall,
  readCommittee,
  readCommitteeState,
  registerNodeCall,
} from "../../../../offchain/chain/registry.ts";
import { TransactionSender } from "../../../../offchain/chain/sender.ts";
import { GenerationCoordinator } from "../../../../offchain/nbm/generations/coordinator.ts";
import { GenerationStore } from "../../../../offchain/nbm/generations/generation-store.ts";
import { Namings } from "../../../../offchain/nbm/generations/namings.ts";
import { partiesHash, scopeOf } from "../../../../offchain/nbm/generations/run-parties.ts";
import { SecretBox } from "../../../../offchain/nbm/secret-box.ts";
import { NBM_MIGRATIONS } from "../../../../offchain/nbm/tables.ts";
import { type Database, openDatabase } from "../../../../offchain/store/index/sqlite.ts";
import { type Anvil, anvilKey, anvilWallet, startAnvil } from "../../../helpers/anvil.ts";
import { attemptCall } from "../../../helpers/attempt-call.ts";
import { type Committee, completeRun } from "../../../helpers/committee-run.ts";
import { deployTo } from "../../../helpers/contracts.ts";
import {
  type Action,
  type Held,
  heldOf,
  type Keys,
  NODES,
  type Node,
  PLANS,
  type Plan,
  type Row,
  type State,
  step,
} from "./model.ts";

const COMMITTEE = 1n;
/** Two of two or three, so that shares differ from generation to generation. */
const THRESHOLD = 2;
/** The member of all generations that always works: it votes, and attests what the others attest. */
const THIRD = 2;
const STAKE_WEI = 10n ** 18n;
const DAY_SECONDS = 86_400;
const ERASE_AFTER_BLOCKS = 1000;

/** What came of a run. */
interface Made {
  readonly committee: Committee;
  /** Tells it from what came of the same run in another history. */
  readonly name: string;
}

/** How to take the latest activation back. */
interface Undo {
  readonly snapshot: unknown;
  readonly active: Made[];
}

export class RealNodes {
  readonly #anvil: Anvil;
  readonly #deployment: Deployment;
  readonly #chain: ChainReader;
  readonly #made = new Map<string, Made>();
  readonly #heldOf = new Map<string, Held>();
  /** Keys of each generation in this replay. */
  #active: Made[] = [];
  #databases: Database[] = [];
  #base: unknown;
  #undo: Undo | undefined;

  private constructor(anvil: Anvil, deployment: Deployment, chain: ChainReader) {
    this.#anvil = anvil;
    this.#deployment = deployment;
    this.#chain = chain;
  }

  static async start(): Promise<RealNodes> {
    const anvil = await startAnvil();
    const deployment = await deployTo(anvil.url, { minStakeWei: STAKE_WEI });
    const nodes = new RealNodes(anvil, deployment, await connectChain(deployment));
    await nodes.#makeFirst();
    return nodes;
  }

  async stop(): Promise<void> {
    for (const database of this.#databases) database.close();
    this.#chain.close();
    await this.#anvil.kill();
  }

  /** Back to the start: generation 1 is active for good, and all have settled on it. */
  async begin(): Promise<void> {
    await this.#anvil.rpc("evm_revert", [this.#base]);
    this.#base = await this.#anvil.rpc("evm_snapshot");
    await this.#anvil.rpc("evm_mine");
    this.#active = this.#active.slice(0, 1);
    this.#undo = undefined;
    for (const database of this.#databases) database.close();
    this.#databases = NODES.map(() => newDatabase());
    const { committee } = this.#active[0] as Made;
    const hash = keyMaterialHash(committee.generation.keys);
    for (const node of NODES) {
      const store = this.#store(node);
      const { size, threshold } = committee.generation;
      const id = { committeeId: COMMITTEE, generation: 1 };
      const members = membersOf(0).map((operator) => ({ operator }));
      const parties = partiesHash({ run: { from: 0, threshold }, members, dealers: members });
      store.begin({ ...id, from: 0, size, threshold, partiesHash: parties, index: node + 1, dealer: node + 1 });
      this.#addResult(node, 0, committee);
      store.activate(id, hash);
      store.settle(id);
    }
  }

  async perform(action: Action, state: State): Promise<void> {
    const { generations, active } = state.chain;
    const latest = generations.length;
    switch (action.kind) {
      case "open":
        for (const node of [0, THIRD]) {
          const members = membersOf(action.plan);
          await this.#send(proposeGenerationCall(this.#deployment, COMMITTEE, latest + 1, members, THRESHOLD), node);
        }
        return;
      case "expire":
        await this.#anvil.rpc("evm_increaseTime", [DAY_SECONDS + 1]);
        await this.#anvil.rpc("evm_mine");
        return;
      case "final":
        await this.#mineUntilFinal();
        this.#undo = undefined;
        return;
      case "reorganise": {
        const { snapshot, active: before } = this.#undo as Undo;
        await this.#anvil.rpc("evm_revert", [snapshot]);
        // Another block than the one that is gone.
        await this.#anvil.rpc("evm_mine");
        this.#active = before;
        this.#undo = undefined;
        return;
      }
      case "outcome": {
        const { node, keys } = action;
        const plan = generations[latest - 1]?.plan ?? 0;
        this.#addResult(node, plan, this.#run(latest, active, plan, keys).committee);
        return;
      }
      case "attest": {
        const outcome = step(state, action);
        const made = this.#run(latest, active, generations[latest - 1]?.plan ?? 0, action.keys);
        const call = attestGenerationCall(this.#deployment, COMMITTEE, latest, made.committee.generation.keys);
        if ("state" in outcome && outcome.state.chain.active !== active) {
          this.#undo = { snapshot: await this.#anvil.rpc("evm_snapshot"), active: this.#active };
          this.#active = [...this.#active];
          this.#active[latest - 1] = made;
          await this.#send(call, THIRD);
        }
        await this.#send(call, action.node);
        return;
      }
      case "advance":
        await this.#coordinator(action.node).advance();
        return;
      case "lose disk":
        this.#database(action.node).close();
        this.#databases[action.node] = newDatabase();
        return;
    }
  }

  async statuses(): Promise<string[]> {
    const { latest } = await readCommitteeState(this.#chain, COMMITTEE);
    const numbers = Array.from({ length: latest }, (_, at) => at + 1);
    return await Promise.all(
      numbers.map(async (number) => (await readCommittee(this.#chain, COMMITTEE, number)).status),
    );
  }

  /** What is on a node's disk, in the terms of the model. */
  rowsOf(node: Node, { rows }: State): (Row | undefined)[] {
    const store = this.#store(node);
    return (rows[node] ?? []).map((_, at) => {
      const found = store.find({ committeeId: COMMITTEE, generation: at + 1 });
      if (found === undefined) return undefined;
      const held = this.#database(node)
        .prepare("SELECT key_material_hash FROM run_results WHERE generation = ?")
        .all(at + 1)
        .map((row) => this.#heldOf.get(String(row.key_material_hash)) as Held);
      return {
        plan: found.size === membersOf(0).length ? 0 : 1,
        from: found.from,
        phase: found.phase as Row["phase"],
        isSettled: found.isSettled,
        held: held.toSorted(),
        used: found.keyMaterialHash === undefined ? undefined : this.#heldOf.get(found.keyMaterialHash),
      };
    });
  }

  async #makeFirst(): Promise<void> {
    for (const node of [...NODES, THIRD]) {
      const hpkePublicKey = new Uint8Array(32).fill(node + 1);
      // Nobody listens there.
      const url = "http://127.0.0.1:1";
      await this.#send(registerNodeCall(this.#deployment, { url, hpkePublicKey, stakeWei: STAKE_WEI }), node);
    }
    await this.#send(createCommitteeCall(this.#deployment, membersOf(0), THRESHOLD), 0);
    const made = this.#run(1, 0, 0, "X");
    for (const node of [...NODES, THIRD]) {
      await this.#send(attestGenerationCall(this.#deployment, COMMITTEE, 1, made.committee.generation.keys), node);
    }
    await this.#mineUntilFinal();
    this.#active = [made];
    this.#base = await this.#anvil.rpc("evm_snapshot");
  }

  async #mineUntilFinal(): Promise<void> {
    await this.#anvil.rpc("anvil_mine", [`0x${ERASE_AFTER_BLOCKS.toString(16)}`]);
  }

  async #send(call: ContractCall, node: number): Promise<void> {
    const outcome = await attemptCall(this.#anvil, this.#chain, call, operatorOf(node));
    if (outcome !== "accepted") throw new Error(`${call.description}: ${outcome}`);
  }

  /** A run from the shares of the generation that deals, made once for each history. */
  #run(generation: number, from: number, plan: Plan, keys: Keys): Made {
    const previous = this.#active[from - 1];
    const name = `${previous?.name ?? ""} > ${generation}: ${plan}${keys}`;
    const known = this.#made.get(name);
    if (known !== undefined) return known;
    const scope = scopeOf(this.#deployment, COMMITTEE);
    const parameters = { size: membersOf(plan).length, threshold: THRESHOLD, generation, scope };
    const made = { name, committee: completeRun(parameters, previous?.committee) };
    this.#made.set(name, made);
    this.#heldOf.set(keyMaterialHash(made.committee.generation.keys), heldOf({ plan, from }, keys));
    return made;
  }

  #addResult(node: Node, plan: Plan, { generation, shares }: Committee): void {
    const members: readonly Node[] = PLANS[plan].members;
    const place = members.indexOf(node);
    const id = { committeeId: COMMITTEE, generation: generation.generation };
    const hash = keyMaterialHash(generation.keys);
    const own = Uint8Array.from(shares[place] as Uint8Array);
    this.#store(node).addResult(id, { keyMaterialHash: hash, transcript: "", generation, shares: own, faults: [] });
  }

  #database(node: Node): Database {
    return this.#databases[node] as Database;
  }

  #store(node: Node): GenerationStore {
    return new GenerationStore(this.#database(node), new SecretBox(new Uint8Array(32).fill(node + 1)));
  }

  #coordinator(node: Node): GenerationCoordinator {
    const chain = this.#chain;
    const operator = operatorOf(node);
    const database = this.#database(node);
    return new GenerationCoordinator({
      chain,
      sender: new TransactionSender(chain, anvilKey(node + 1)),
      wallet: new Wallet(anvilWallet(node + 1).privateKey),
      store: this.#store(node),
      namings: new Namings({ chain, database, operator, overlapBlocks: 64 }),
      chargeAttestation: () => undefined,
      logger: pino({ level: "silent" }),
      maximumCommittees: 10,
      dealingSeconds: 2,
      eraseAfterBlocks: ERASE_AFTER_BLOCKS,
      onReady: () => undefined,
      onErased: () => undefined,
    });
  }
}

function operatorOf(node: number): string {
  return anvilWallet(node + 1).address;
}

function membersOf(plan: Plan): string[] {
  return [...PLANS[plan].members, THIRD].map(operatorOf);
}

function newDatabase(): Database {
  return openDatabase(":memory:", { migrations: NBM_MIGRATIONS });
}
