/** Real nodes beside a member that lies, and a stranger that names them. */

import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { expect } from "chai";
import { Wallet } from "ethers";
import { nodeRegistry } from "../../offchain/chain/contracts.ts";
import {
  attestGenerationCall,
  createCommitteeCall,
  createdCommitteeId,
  proposeGenerationCall,
  readAttestation,
  readCommittee,
  readCommitteeState,
  registerNodeCall,
} from "../../offchain/chain/registry.ts";
import { TransactionSender } from "../../offchain/chain/sender.ts";
import { announceMember } from "../../offchain/core/committee/receiving.ts";
import { hpkeKeyPairFromSeed } from "../../offchain/core/crypto/hpke.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { oprfReady } from "../../offchain/core/oprf/ristretto255.ts";
import { createLogger } from "../../offchain/daemon/logger.ts";
import { Bulletin } from "../../offchain/nbm/generations/bulletin.ts";
import { Exchange } from "../../offchain/nbm/generations/exchange.ts";
import { GenerationStore, type RunResult } from "../../offchain/nbm/generations/generation-store.ts";
import { readParties } from "../../offchain/nbm/generations/run-parties.ts";
import { beginRun, RunSteps } from "../../offchain/nbm/generations/run-steps.ts";
import { runMessage, signMessage } from "../../offchain/nbm/generations/signed-messages.ts";
import { SecretBox } from "../../offchain/nbm/secret-box.ts";
import { NBM_MIGRATIONS } from "../../offchain/nbm/tables.ts";
import { openDatabase } from "../../offchain/store/index/sqlite.ts";
import { createCommittee, operatorCommand, serving } from "../helpers/committee-commands.ts";
import { serveHandler } from "../helpers/http-server.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { prepareCommittee, type TestCommittee } from "../helpers/nbm-committee.ts";
import { until } from "../helpers/promises.ts";

const ERASE = 20;

describe("nodes of a committee beside liars and strangers", function () {
  this.timeout(120_000);
  let local: LocalChain;
  let network: TestCommittee;
  let server: Server | undefined;
  const wallet = new Wallet(toHex(crypto.getRandomValues(new Uint8Array(32))));
  const box = new SecretBox(new Uint8Array(32).fill(1));
  const store = new GenerationStore(openDatabase(":memory:", { migrations: NBM_MIGRATIONS }), box);
  const name = { committeeId: 1n, generation: 2 };
  let transcript: string | undefined;
  let sender: TransactionSender;

  before(async () => {
    await oprfReady();
    local = await startLocalChain();
    network = await prepareCommittee(local, {
      size: 3,
      config: { pollMilliseconds: 100, dealingSeconds: 2, eraseAfterBlocks: ERASE },
      form: false,
    });
    await network.startAll();
    const served = await serveHandler(async (request: IncomingMessage, response: ServerResponse) => {
      await request.toArray();
      response.setHeader("content-type", "application/json");
      if (store.find(name) === undefined || !(request.url ?? "").endsWith("/1/generations/2/messages")) {
        response.statusCode = 404;
        response.end("{}");
        return;
      }
      const messages = store
        .messages(name)
        .map(({ kind, sender: from, bytes, signature }) => ({ kind, sender: from, message: toHex(bytes), signature }));
      const answer = { committeeId: "1", generation: 2, messages };
      response.end(JSON.stringify(transcript === undefined ? answer : { ...answer, transcript }));
    });
    server = served.server;
    sender = new TransactionSender(local.chain, fromHex(wallet.privateKey));
    await local.fund([wallet.address]);
    const { publicKey } = hpkeKeyPairFromSeed(new Uint8Array(32).fill(3));
    await sender.send(
      registerNodeCall(local.deployment, { url: served.url, hpkePublicKey: publicKey, stakeWei: 10n ** 18n }),
    );
  });
  after(async () => {
    server?.close();
    await network?.stop();
    await local?.stop();
  });

  const phases = async (committee: string) => {
    const all = await Promise.all(network.nodes.map((node) => node.describe()));
    return all.map(({ committees }) =>
      committees.filter((each) => each.committeeId === committee).map((each) => `${each.generation}:${each.phase}`),
    );
  };

  it("keep their shares when a member announces a second time after they have attested, and then attests", async () => {
    const { nodes } = network;
    const { chain } = local;
    await createCommittee(local, nodes, 2);
    await serving(nodes, 1);
    await local.mine(ERASE);
    const members = [...nodes.map(({ operator }) => operator), wallet.address].join(",");
    for (const node of nodes.slice(0, 2)) await operatorCommand(node, "reshare", "1", "--members", members);
    const parties = await readParties(chain, await readCommittee(chain, 1n, 2));
    await beginRun({ store, wallet }, parties, { index: 4, dealer: 0 });
    const bulletin = new Bulletin(store, name, parties);
    const steps = new RunSteps({ store, wallet, dealingSeconds: 1 }, parties, bulletin);
    const exchange = new Exchange(parties, wallet.address);
    let result: RunResult | undefined;
    await until("all honest nodes have attested", async () => {
      await exchange.collect(bulletin, name, createLogger("liar", "silent"));
      const state = store.find(name);
      if (state === undefined) return false;
      await steps.advance(state);
      result = steps.result;
      transcript = result?.transcript;
      if (result === undefined) return false;
      const stated = await Promise.all(nodes.map(({ operator }) => readAttestation(chain, 1n, 2, operator)));
      return stated.every((hash) => hash === result?.keyMaterialHash);
    });
    const again = announceMember(parties.run, 4).announcement;
    const kind = { kind: "announcement", sender: 4 } as const;
    const signature = await signMessage(wallet, runMessage(parties, kind, again));
    store.addMessage(name, { ...kind, about: 0, bytes: again, signature });
    await until("failure", async () => (await phases("1")).every((each) => each.includes("2:failed")), 30);
    await sender.send(attestGenerationCall(local.deployment, 1n, 2, (result as RunResult).generation.keys));
    expect((await readCommitteeState(chain, 1n)).active).to.equal(2);
    await serving(nodes, 2);
    await local.mine(ERASE + 2);
    const isOnly = (wanted: string) => async () => (await phases("1")).every((each) => each.join() === wanted);
    await until("erasure of generation 1 alone", isOnly("2:ready"), 30);
  });

  it("do not join a stranger's generation whose keys do not fit, and make the keys of others", async () => {
    const { nodes } = network;
    const { deployment, chain } = local;
    const receipt = await sender.send(createCommitteeCall(deployment, [wallet.address], 1));
    const id = createdCommitteeId(deployment, receipt);
    const junk = { groupPublicKey: new Uint8Array(32).fill(7), verificationShares: [new Uint8Array(32).fill(9)] };
    await sender.send(attestGenerationCall(deployment, id, 1, { oprf: junk, record: junk }));
    const members = nodes.map(({ operator }) => operator);
    await sender.send(proposeGenerationCall(deployment, id, 2, members, 1));
    await createCommittee(local, nodes, 2);
    const real = await nodeRegistry(chain).committeeCount();
    const isActive = async () => (await readCommittee(chain, real)).status === "active";
    await until("the keys of an honest committee", isActive, 30);
    expect(nodes[0]?.log).to.contain("not joining");
  });
});
