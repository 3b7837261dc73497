/**
 * An NBM node that lies: a proxy registered in the place of a real one, which changes what the node says. Every lie is
 * well formed and wrong. Only one of them is signed anew with the operator's key, as an operator that lies would do.
 */

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { keccak256 } from "ethers";
import { connectChain } from "../../offchain/chain/deployment.ts";
import { readRecordSeal } from "../../offchain/chain/group-keys.ts";
import { ledgerScope } from "../../offchain/chain/ledger.ts";
import { readCommitteeKeys, readNode, updateNodeCall } from "../../offchain/chain/registry.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { u16be, u32be, u64be } from "../../offchain/core/encoding/integers.ts";
import { openKeystore } from "../../offchain/core/identity/keystore.ts";
import { composeEvaluation, oprfReady } from "../../offchain/core/oprf/ristretto255.ts";
import { oprfAnswerMessage } from "../../offchain/core/oprf/signed-answer.ts";
import { type KeyRecordHeader, resealShare } from "../../offchain/core/record/key-record.ts";
import { RECORD_SECRET_BYTES } from "../../offchain/core/record/payload.ts";
import { DECRYPTION_SHARE_BYTES } from "../../offchain/core/sealed-secrets/decryption-share.ts";
import { checkSealed } from "../../offchain/core/sealed-secrets/sealed-secret.ts";
import { sealShareReply } from "../../offchain/core/sealed-secrets/share-reply.ts";
import type { ReleaseRequestBody } from "../../offchain/core/wire/release.ts";
import { deriveNodeKeys } from "../../offchain/nbm/node-keys.ts";
import { answerSigner } from "../../offchain/nbm/oprf/answer-signer.ts";
import { mined } from "../../scripts/devnet/mined.ts";
import type { DevnetDaemon } from "../../scripts/devnet/start-devnet.ts";
import { HANG, HttpProxy, jsonAnswer, jsonOf, type ProxiedAnswer, type ProxiedRequest } from "./http-proxy.ts";
import type { LocalNet } from "./local-net.ts";

export type Lie =
  | "honest"
  | "wrong evaluations" // a right point in place of another
  | "signed wrong evaluations" // the same, with the node's own signature: its operator itself lies
  | "wrong proofs" // right evaluations with a proof of something else
  | "wrong shares" // properly sealed to the asker, of the right length, and not the share
  | "wrong receipts" // right shares, with a receipt that somebody else signed
  | "shares of another" // index and share of some other member
  | "wrong records" // archived records with another payload
  | "wrong notes" // what later owners sealed to themselves, damaged
  | "says it relayed" // and did not
  | "garbage"
  | "hangs";

const EVALUATE = "/v1/oprf/evaluate";
const RELEASES = "/v1/releases";
/** Shamir's scheme: a share is as long as what is shared. */
const SHARE_BYTES = RECORD_SECRET_BYTES;
const SHARE = /^\/v1\/records\/(0x[0-9a-f]{64})\/share$/;

export class LyingNode {
  lie: Lie = "honest";
  /** Lies told so far; of garbage, that in answer to requests for a session, an evaluation or a share. */
  told = 0;
  /** Whom signed answers are made out to: the proxy cannot see whose session a request is in. */
  asker: string | undefined;
  readonly node: DevnetDaemon;
  readonly #net: LocalNet;
  readonly #proxy: HttpProxy;

  private constructor(net: LocalNet, node: DevnetDaemon, proxy: HttpProxy) {
    this.#net = net;
    this.node = node;
    this.#proxy = proxy;
    proxy.intercept = (request) => this.#intercept(request);
    proxy.alter = (request, answer) => this.#alter(request, answer);
  }

  /** Puts a proxy in the place of a node, on chain. It is honest until told otherwise. */
  static async inPlaceOf(net: LocalNet, node: DevnetDaemon): Promise<LyingNode> {
    const proxy = await HttpProxy.start(node.url);
    await registerUrl(net, node, proxy.url);
    return new LyingNode(net, node, proxy);
  }

  get url(): string {
    return this.#proxy.url;
  }

  stop(): Promise<void> {
    return this.#proxy.stop();
  }

  async #intercept({ method, path }: ProxiedRequest) {
    if (this.lie === "garbage") {
      if (method === "POST") this.told += 1;
      return { status: 200, type: "application/json", body: new Uint8Array(randomBytes(200)) };
    }
    if (this.lie === "hangs") {
      if (method === "POST") this.told += 1;
      return HANG;
    }
    if (this.lie !== "says it relayed" || method !== "POST" || path !== "/v1/records") return undefined;
    this.told += 1;
    return jsonAnswer({ recordId: toHex(randomBytes(32)), transactionHash: toHex(randomBytes(32)), blockNumber: 1 });
  }

  async #alter(request: ProxiedRequest, answer: ProxiedAnswer): Promise<ProxiedAnswer | undefined> {
    if (answer.status !== 200 || this.lie === "garbage") return undefined;
    const wrong = await this.#wrong(request, jsonOf(answer));
    if (wrong === undefined) return undefined;
    this.told += 1;
    return jsonAnswer(wrong);
  }

  async #wrong(request: ProxiedRequest, answer: Record<string, unknown>): Promise<unknown> {
    const [path = ""] = request.path.split("?");
    const recordId = SHARE.exec(path)?.[1];
    switch (this.lie) {
      case "wrong evaluations":
        // The blinded element itself is a point of the group: what a node with the key 1 would say.
        return path === EVALUATE ? { ...answer, evaluated: jsonOf(request).blinded } : undefined;
      case "signed wrong evaluations":
        return path === EVALUATE ? await this.#signedWrongEvaluation(request, answer) : undefined;
      case "wrong proofs":
        return path === EVALUATE ? { ...answer, proof: flipped(String(answer.proof)) } : undefined;
      case "wrong shares":
        if (path === RELEASES) return await this.#wrongDecryptionShare(request, answer);
        return recordId === undefined ? undefined : await this.#wrongShare(recordId, request, answer);
      case "wrong receipts": {
        if (path !== RELEASES) return undefined;
        const receipt = answer.receipt as Record<string, unknown>;
        return { ...answer, receipt: { ...receipt, blockNumber: Number(receipt.blockNumber) + 1 } };
      }
      case "shares of another":
        if (path !== RELEASES && recordId === undefined) return undefined;
        return { ...answer, index: (Number(answer.index) % 5) + 1 };
      case "wrong records": {
        if (path !== "/v1/records") return undefined;
        const records = answer.records as Record<string, unknown>[];
        return { ...answer, records: records.map((each) => ({ ...each, payload: flipped(String(each.payload)) })) };
      }
      case "wrong notes": {
        if (path !== "/v1/records") return undefined;
        const records = answer.records as { laterOwner: { note: string } | null }[];
        const lying = records.map(({ laterOwner, ...rest }) => ({
          ...rest,
          laterOwner: laterOwner === null ? null : { ...laterOwner, note: flipped(laterOwner.note) },
        }));
        return { ...answer, records: lying };
      }
      default:
        return undefined;
    }
  }

  /** A wrong evaluation with the right answer's proof, signed with the operator's key. */
  async #signedWrongEvaluation(request: ProxiedRequest, answer: Record<string, unknown>) {
    const { committeeId, generation, blinded } = jsonOf(request) as Record<string, unknown> & { blinded: string[] };
    const index = Number(answer.index);
    const chain = await connectChain(this.#net.deployment);
    try {
      const { keys, keyMaterialHash } = await readCommitteeKeys(chain, BigInt(String(committeeId)), Number(generation));
      const share = keys.oprf.verificationShares[index - 1];
      if (share === undefined || this.asker === undefined) throw new Error("nobody to lie to");
      await oprfReady();
      const elements = blinded.map((element) => fromHex(element));
      const signed = oprfAnswerMessage({
        committeeId: BigInt(String(committeeId)),
        generation: Number(generation),
        keyMaterialHash,
        index,
        account: this.asker,
        composites: composeEvaluation(share, elements, elements),
        proof: fromHex(String(answer.proof)),
      });
      return {
        ...answer,
        evaluated: blinded,
        signature: answerSigner(chain.deployment, await this.operatorKey())(signed),
      };
    } finally {
      chain.close();
    }
  }

  /** Seals what a node with the key share 1 would say, with a proof of nothing, to the asker. */
  async #wrongDecryptionShare(request: ProxiedRequest, answer: Record<string, unknown>) {
    const asked = jsonOf(request) as ReleaseRequestBody;
    const chain = await connectChain(this.#net.deployment);
    try {
      await oprfReady();
      const { groupKey, ledger } = await readRecordSeal(chain, BigInt(asked.committeeId));
      const { recordId, version, author, policy, policyData } = asked;
      const policyDataHash = fromHex(keccak256(policyData));
      const label = { ledger, recordId: fromHex(recordId), version, author, policy, policyDataHash };
      const secret = checkSealed(groupKey, label, fromHex(asked.secret));
      const share = new Uint8Array(DECRYPTION_SHARE_BYTES);
      share[0] = 1;
      share.set([...u64be(BigInt(asked.committeeId)), ...u32be(asked.generation), ...u16be(Number(answer.index))], 1);
      share.set(secret.element, 15);
      const sealed = await sealShareReply(secret, asked.account, fromHex(asked.sessionKey), share);
      return { ...answer, sealed: toHex(sealed) };
    } finally {
      chain.close();
    }
  }

  /** The key of the node's operator. */
  async operatorKey() {
    const keystore = JSON.parse(readFileSync(join(this.node.dir, "keystore.json"), "utf8"));
    const passphrase = readFileSync(join(this.node.dir, "..", "passphrase"), "utf8").trim();
    return deriveNodeKeys(await openKeystore(keystore, passphrase)).wallet;
  }

  /** Seals a random share to the asker as the node would seal the right one. */
  async #wrongShare(recordId: string, request: ProxiedRequest, answer: Record<string, unknown>) {
    const asked = jsonOf(request) as { account: string; sessionKey: string };
    const found = await fetch(`${this.node.url}/v1/records/${recordId}`);
    const record = (await found.json()) as Record<keyof KeyRecordHeader, string>;
    const header = { ...record, committeeId: BigInt(record.committeeId), keyTime: BigInt(record.keyTime) };
    const context = { index: Number(answer.index), account: asked.account };
    const wrong = new Uint8Array(randomBytes(SHARE_BYTES));
    const ledger = ledgerScope(this.#net.deployment);
    const sealed = await resealShare(ledger, header, context, fromHex(asked.sessionKey, 32), wrong);
    return { ...answer, sealed: toHex(sealed) };
  }
}

function flipped(hex: string): string {
  const bytes = fromHex(hex);
  if (bytes.length === 0) return hex;
  const last = bytes.length - 1;
  bytes[last] = (bytes[last] ?? 0) ^ 1;
  return toHex(bytes);
}

/** Changes where a node is reached, in the name of its operator. */
export async function registerUrl(net: LocalNet, { account }: DevnetDaemon, url: string): Promise<void> {
  const chain = await connectChain(net.deployment);
  try {
    const registered = await readNode(chain, account);
    if (registered === undefined) throw new Error(`${account} is no node`);
    const { to, data } = updateNodeCall(net.deployment, { url, hpkePublicKey: registered.hpkePublicKey });
    await chain.provider.send("anvil_impersonateAccount", [account]);
    const hash: unknown = await chain.provider.send("eth_sendTransaction", [{ from: account, to, data }]);
    await chain.provider.send("anvil_stopImpersonatingAccount", [account]);
    await mined(chain.provider, String(hash));
  } finally {
    chain.close();
  }
}
