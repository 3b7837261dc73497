/**
 * A node of a committee that a test runs itself: it follows the protocol, but for what the test changes. It serves its
 * messages over HTTP like any other.
 */

import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { type HDNodeWallet, Wallet } from "ethers";
import {
  attestGenerationCall,
  createCommitteeCall,
  createdCommitteeId,
  readAttestation,
  readCommittee,
  registerNodeCall,
} from "../../offchain/chain/registry.ts";
import { TransactionSender } from "../../offchain/chain/sender.ts";
import { dealShares } from "../../offchain/core/committee/dealing.ts";
import type { RunMembers } from "../../offchain/core/committee/receiving.ts";
import { hpkeKeyPairFromSeed } from "../../offchain/core/crypto/hpke.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { createLogger } from "../../offchain/daemon/logger.ts";
import { Bulletin } from "../../offchain/nbm/generations/bulletin.ts";
import { Exchange } from "../../offchain/nbm/generations/exchange.ts";
import { GenerationStore, type RunMessage } from "../../offchain/nbm/generations/generation-store.ts";
import { readParties } from "../../offchain/nbm/generations/run-parties.ts";
import { beginRun, RunSteps } from "../../offchain/nbm/generations/run-steps.ts";
import { runMessage, signMessage } from "../../offchain/nbm/generations/signed-messages.ts";
import { SecretBox } from "../../offchain/nbm/secret-box.ts";
import { NBM_MIGRATIONS } from "../../offchain/nbm/tables.ts";
import { openDatabase } from "../../offchain/store/index/sqlite.ts";
import { serveHandler } from "./http-server.ts";
import type { LocalChain } from "./local-chain.ts";
import type { TestNode } from "./nbm-committee.ts";
import { until } from "./promises.ts";

export class ForeignMember {
  readonly wallet = new Wallet(toHex(crypto.getRandomValues(new Uint8Array(32))));
  readonly #local: LocalChain;
  readonly #sender: TransactionSender;
  readonly #store = new GenerationStore(
    openDatabase(":memory:", { migrations: NBM_MIGRATIONS }),
    new SecretBox(new Uint8Array(32).fill(1)),
  );
  readonly #transcripts = new Map<bigint, string>();
  #server: Server | undefined;
  #requests = 0;
  #stopped = false;

  // What a test changes.
  /** The dealings of dealer 1: more than one are sent in turn, none is none. */
  dealings: (members: RunMembers) => Uint8Array[] = (members) => [dealShares(members, 1)];
  /** Which messages it serves. */
  serves: (message: RunMessage, request: number) => boolean = () => true;
  signer: Wallet | HDNodeWallet = this.wallet;
  attests = true;
  /** Where it takes the messages of others from, and whether it deals. */
  joins = true;

  constructor(local: LocalChain) {
    this.#local = local;
    this.#sender = new TransactionSender(local.chain, fromHex(this.wallet.privateKey));
  }

  behave(): void {
    this.dealings = (members) => [dealShares(members, 1)];
    this.serves = () => true;
    this.signer = this.wallet;
    this.attests = true;
    this.joins = true;
  }

  async start(): Promise<void> {
    const { server, url } = await serveHandler((request, response) => this.#answer(request, response));
    this.#server = server;
    await this.#local.fund([this.wallet.address]);
    const { publicKey } = hpkeKeyPairFromSeed(new Uint8Array(32).fill(3));
    const node = { url, hpkePublicKey: publicKey, stakeWei: 10n ** 18n };
    await this.#sender.send(registerNodeCall(this.#local.deployment, node));
  }

  stop(): void {
    this.#stopped = true;
    this.#server?.close();
  }

  /** Creates a committee of this member and the nodes, and takes part in its key generation as member 1. */
  async form(nodes: readonly TestNode[], threshold: number): Promise<bigint> {
    const members = [this.wallet.address, ...nodes.map(({ operator }) => operator)];
    const receipt = await this.#sender.send(createCommitteeCall(this.#local.deployment, members, threshold));
    const id = createdCommitteeId(this.#local.deployment, receipt);
    await this.#begin(id);
    return id;
  }

  async #begin(id: bigint): Promise<void> {
    const { chain } = this.#local;
    const parties = await readParties(chain, await readCommittee(chain, id, 1));
    const store = this.#store;
    const options = { store, wallet: this.wallet, dealingSeconds: 1 };
    const name = { committeeId: id, generation: 1 };
    await beginRun({ store, wallet: this.signer as Wallet }, parties, { index: 1, dealer: 1 });
    const bulletin = new Bulletin(store, name, parties);
    const steps = new RunSteps(options, parties, bulletin);
    const exchange = new Exchange(parties, this.wallet.address);
    const advance = async () => {
      if (this.#stopped) return true;
      const state = store.find(name);
      if (!this.joins || state === undefined) return false;
      await exchange.collect(bulletin, name, createLogger("foreign member", "silent"));
      const known = bulletin.members();
      if (known === undefined) return false;
      if (state.phase === "announcing") {
        const sent = this.dealings(known);
        const dealing = async (bytes: Uint8Array) => {
          const kind = { kind: "dealing", sender: 1 } as const;
          const typed = runMessage(parties, kind, bytes);
          return { ...kind, about: 0, bytes, signature: await signMessage(this.signer as Wallet, typed) };
        };
        const [first, ...more] = await Promise.all(sent.map(dealing));
        store.enterDealing(name, Date.now() + 1000, first);
        for (const message of more) store.addMessage(name, message);
        bulletin.reload();
        return false;
      }
      await steps.advance(state);
      const { result } = steps;
      if (result === undefined) return false;
      this.#transcripts.set(id, result.transcript);
      if (!this.attests || exchange.withOtherTranscript(result.transcript).length > 0) return false;
      const stated = await readAttestation(chain, id, 1, this.wallet.address);
      if (stated !== result.keyMaterialHash) {
        await this.#sender.send(attestGenerationCall(chain.deployment, id, 1, result.generation.keys));
      }
      return (await readCommittee(chain, id, 1)).status === "active";
    };
    void until(`the foreign member's end of committee ${id}`, advance, 120).catch(() => undefined);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const match = /^\/v1\/committees\/(\d+)\/generations\/1\/messages$/.exec(request.url ?? "");
    const name = { committeeId: BigInt(match?.[1] ?? 0), generation: 1 };
    await request.toArray();
    if (this.#store.find(name) === undefined) {
      response.statusCode = 404;
      response.end("{}");
      return;
    }
    this.#requests += 1;
    const messages = this.#store
      .messages(name)
      .filter((message) => this.serves(message, this.#requests))
      .map(({ kind, sender, bytes, signature }) => ({ kind, sender, message: toHex(bytes), signature }));
    const transcript = this.#transcripts.get(name.committeeId);
    const answer = { committeeId: String(name.committeeId), generation: 1, messages };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(transcript === undefined ? answer : { ...answer, transcript }));
  }
}
