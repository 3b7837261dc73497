/** Having a sealed secret released by nodes that fail and lie. */

import { randomBytes } from "node:crypto";
import { expect } from "chai";
import { HDNodeWallet, type JsonRpcProvider, keccak256, TypedDataEncoder } from "ethers";
import { AgentAccount } from "../../../offchain/agent/account.ts";
import type { NbmClient, ReleaseGrant } from "../../../offchain/agent/keys/nbm-client.ts";
import type { NodeReport } from "../../../offchain/agent/keys/node-reports.ts";
import { releaseSecret } from "../../../offchain/agent/keys/releases.ts";
import type { ShareMember } from "../../../offchain/agent/keys/share-collection.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import type { CommitteeWithKeys } from "../../../offchain/chain/registry.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { releaseRequestTypedData } from "../../../offchain/core/identity/typed-messages.ts";
import { oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import { decryptionShare } from "../../../offchain/core/sealed-secrets/decryption-share.ts";
import type { SecretLabel } from "../../../offchain/core/sealed-secrets/label.ts";
import { releaseReceipt } from "../../../offchain/core/sealed-secrets/release-receipt.ts";
import { type CheckedSecret, checkSealed, sealSecret } from "../../../offchain/core/sealed-secrets/sealed-secret.ts";
import { sealShareReply } from "../../../offchain/core/sealed-secrets/share-reply.ts";
import type { ReleaseRequestBody } from "../../../offchain/core/wire/release.ts";
import { type Committee, completeRun, recordKeys, SCOPE, sharesOf } from "../../helpers/committee-run.ts";
import { walletOf } from "../../helpers/ledger-records.ts";
import { failure } from "../../helpers/promises.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const SIZE = 5;
const THRESHOLD = 3;
const LEDGER = { chainId: 31_337n, keyLedger: "0x00000000000000000000000000000000000000aa" };
const PAYLOAD = new TextEncoder().encode("a secret");
const POLICY_DATA = new TextEncoder().encode("data");
const wallet = HDNodeWallet.fromPhrase("test test test test test test test test test test test junk");
const account = new AgentAccount(fromHex(wallet.privateKey));

/** The chain as this computer's endpoint has it: a block every minute. */
const HEAD = 1000;
const CONFIRMED = HEAD - 2;
const hashOf = (number: number): string => `0x${number.toString(16).padStart(64, "b")}`;
const chain = {
  provider: {
    getBlock: async (which: number | "latest") => {
      const number = which === "latest" ? HEAD : which;
      return number > HEAD ? null : { number, hash: hashOf(number), timestamp: number * 60 };
    },
  } as unknown as JsonRpcProvider,
} as ChainReader;

type Reply = (index: number, request: ReleaseRequestBody) => Promise<ReleaseGrant>;

describe("the release of a sealed secret by nodes that fail and lie", () => {
  let first: Committee;
  let committee: Committee;
  let label: SecretLabel;
  let sealed: Uint8Array;
  let secret: CheckedSecret;

  before(async () => {
    await oprfReady();
    first = completeRun({ size: SIZE, threshold: THRESHOLD });
    committee = completeRun({ size: SIZE, threshold: THRESHOLD }, first);
    label = {
      ledger: LEDGER,
      recordId: new Uint8Array(32).fill(1),
      version: 1,
      author: account.address,
      policy: "0x00000000000000000000000000000000000000bb",
      policyDataHash: fromHex(keccak256(POLICY_DATA)),
    };
    const { groupPublicKey } = recordKeys(committee);
    sealed = sealSecret(groupPublicKey, label, PAYLOAD);
    secret = checkSealed(groupPublicKey, label, sealed);
  });

  const operatorOf = (index: number): string => walletOf(40 + index).address;
  const shareOf = (index: number, of = committee): Uint8Array =>
    decryptionShare(secret, recordKeys(of), index, sharesOf(of, index).record);

  type Receipt = ReleaseGrant["receipt"];

  function receiptBy(signer: number, request: ReleaseRequestBody, over: Partial<Receipt> = {}): Receipt {
    const releasedAt = Math.floor(Date.now() / 1000);
    const at = { blockNumber: CONFIRMED, blockHash: hashOf(CONFIRMED), releasedAt, ...over };
    const { account, sessionKey, evidence } = request;
    const released = { secret: toHex(secret.name), evidence, account, sessionKey, ...at };
    const { domain, types, message } = releaseReceipt(label, released);
    const digest = TypedDataEncoder.hash(domain, types, { ...message });
    return { ...at, signature: walletOf(40 + signer).signingKey.sign(digest).serialized };
  }

  async function grant(index: number, request: ReleaseRequestBody, share: Uint8Array): Promise<ReleaseGrant> {
    const replied = await sealShareReply(secret, request.account, fromHex(request.sessionKey), share);
    return { index, sealed: replied, receipt: receiptBy(index, request) };
  }

  /** What an honest node does, and checks. */
  const honestly: Reply = async (index, request) => {
    const typed = releaseRequestTypedData(LEDGER.chainId, LEDGER.keyLedger, {
      secret: toHex(secret.name),
      account: request.account,
      sessionKey: request.sessionKey,
      node: operatorOf(index),
      expiresAt: BigInt(request.expiresAt),
    });
    expect(await account.sign(typed)).to.equal(request.signature);
    expect(request).to.include({ committeeId: "7", generation: 2, evidence: "0x1234", secret: toHex(sealed) });
    expect(request).to.include({ policyData: toHex(POLICY_DATA), policy: label.policy, author: label.author });
    return await grant(index, request, shareOf(index));
  };
  const failing =
    (code: "UNREACHABLE" | "NOT_RELEASED" | "NOT_FOUND"): Reply =>
    async (index) => {
      const check = code === "NOT_RELEASED" ? "said no" : "node";
      throw new TallystickError(`node ${index} says ${code}`, { code, check });
    };
  /** Sends a right share with a signed receipt that says something else. */
  const at =
    (over: Partial<Receipt>): Reply =>
    async (index, request) => {
      const answer = await honestly(index, request);
      return { ...answer, receipt: receiptBy(index, request, over) };
    };
  const lies: [string, Reply, string][] = [
    ["is down", failing("UNREACHABLE"), "UNREACHABLE"],
    ["refuses", failing("NOT_RELEASED"), "NOT_RELEASED"],
    [
      "sends a share with the proof of another one",
      async (index, request) => await grant(index, request, shareOf(index).with(50, 0).with(51, 0)),
      "INVALID_PROOF",
    ],
    [
      "sends the share of the next node under its own index",
      async (index, request) => await grant(index, request, shareOf((index % SIZE) + 1)),
      "INTEGRITY",
    ],
    [
      "sends the share of the next node under that node's index",
      async (index, request) => await grant((index % SIZE) + 1, request, shareOf((index % SIZE) + 1)),
      "BAD_RESPONSE",
    ],
    [
      "sends its share of the generation before",
      async (index, request) => await grant(index, request, shareOf(index, first)),
      "INTEGRITY",
    ],
    [
      "sends its share of the generation before under this one's head",
      async (index, request) => {
        const head = shareOf(index).subarray(0, 15);
        return await grant(index, request, Uint8Array.of(...head, ...shareOf(index, first).subarray(15)));
      },
      "INVALID_PROOF",
    ],
    [
      "seals its share to another session",
      async (index, request) => ({
        ...(await grant(index, { ...request, sessionKey: toHex(randomBytes(32)) }, shareOf(index))),
        receipt: receiptBy(index, request),
      }),
      "INTEGRITY",
    ],
    [
      "sends garbage",
      async (index, request) => ({ ...(await honestly(index, request)), sealed: new Uint8Array(159).fill(7) }),
      "INTEGRITY",
    ],
    [
      "sends a right share without a receipt of its own",
      async (index, request) => ({ ...(await honestly(index, request)), receipt: receiptBy(99, request) }),
      "INVALID_SIGNATURE",
    ],
    [
      "sends a right share with a receipt that is no signature",
      async (index, request) => {
        const answer = await honestly(index, request);
        return { ...answer, receipt: { ...answer.receipt, signature: `0x${"ff".repeat(65)}` } };
      },
      "INVALID_SIGNATURE",
    ],
    [
      "sends a right share with a receipt for other evidence",
      async (index, request) => {
        const answer = await honestly(index, request);
        return { ...answer, receipt: receiptBy(index, { ...request, evidence: "0x12" }) };
      },
      "INVALID_SIGNATURE",
    ],
    [
      "released in a block that is not there yet",
      at({ blockNumber: HEAD + 1, blockHash: hashOf(HEAD + 1) }),
      "BAD_RESPONSE",
    ],
    ["released in a block of another chain", at({ blockHash: hashOf(HEAD) }), "BAD_RESPONSE"],
    ["released in a block of long ago", at({ blockNumber: HEAD - 65, blockHash: hashOf(HEAD - 65) }), "BAD_RESPONSE"],
    ["says that it released tomorrow", at({ releasedAt: Math.floor(Date.now() / 1000) + 86_400 }), "BAD_RESPONSE"],
  ];

  /** With so much stake that they are asked first: the first two. */
  const stakes = [2n ** 127n, 2n ** 127n];
  function membersOf(replies: readonly Reply[]): ShareMember[] {
    return replies.map((reply, position) => {
      const index = position + 1;
      const client = { release: async (request: ReleaseRequestBody) => await reply(index, request) };
      const url = `http://node-${index}`;
      const onChain = { operator: operatorOf(index), url, stakeWei: stakes[position] ?? 1n, exitAt: 0 };
      return { index, ...onChain, client: client as unknown as NbmClient };
    });
  }

  const release = async (replies: readonly Reply[]) => {
    const { generation } = committee;
    const active = { id: SCOPE.committeeId, ...generation } as unknown as CommitteeWithKeys;
    const wanted = { secret, sealed, policyData: POLICY_DATA, evidence: "0x1234" };
    return await releaseSecret(wanted, { chain, account, committee: active, members: membersOf(replies) });
  };
  const withTwo = (reply: Reply): Reply[] => [reply, reply, honestly, honestly, honestly];

  it("asks k nodes when they are honest, and opens", async () => {
    const { payload, nodes } = await release(Array(SIZE).fill(honestly));
    expect(payload).to.deep.equal(PAYLOAD);
    expect(nodes.filter(({ answer }) => answer === "right")).to.have.length(THRESHOLD);
    expect(nodes.filter(({ answer }) => answer === "not asked")).to.have.length(SIZE - THRESHOLD);
  });

  for (const [what, reply, code] of lies) {
    it(`does without two of five of which each ${what}, and names them`, async () => {
      const { payload, nodes } = await release(withTwo(reply));
      expect(payload).to.deep.equal(PAYLOAD);
      const blamed = nodes.filter(({ answer }) => answer !== "right");
      expect(blamed.map(({ index }) => index)).to.deep.equal([1, 2]);
      for (const { answer, message, index } of blamed) {
        expect(answer).to.equal(code);
        expect(message).to.match(new RegExp(`node.*${index}`));
      }
    });
  }

  it("takes a block of as long ago on a chain that stands still, or is fast", async () => {
    const few = at({ blockNumber: HEAD - 64, blockHash: hashOf(HEAD - 64) });
    expect((await release(Array(SIZE).fill(few))).payload).to.deep.equal(PAYLOAD);
  });

  it("says what every node answered when fewer than k shares are right", async () => {
    const [, wrong] = lies[2] as (typeof lies)[number];
    const down = failing("UNREACHABLE");
    const error = await expectAsyncRejection(() => release([wrong, down, honestly, honestly, wrong]), "SHARES_MISSING");
    const nodes = error.details?.nodes as NodeReport[];
    expect(nodes.map(({ answer }) => answer)).to.deep.equal([
      "INVALID_PROOF",
      "UNREACHABLE",
      "right",
      "right",
      "INVALID_PROOF",
    ]);
    expect(error.party).to.equal("committee 7");
  });

  it("is refused by the policy when so many nodes say so that no k are left, and not for fewer", async () => {
    const no = failing("NOT_RELEASED");
    const down = failing("UNREACHABLE");
    const refused = await expectAsyncRejection(() => release([no, no, no, honestly, honestly]), "NOT_RELEASED");
    expect(refused).to.include({ party: "policy of the secret", check: "said no" });
    // Two nodes may lie: with the third one down, nobody knows what the policy says.
    await expectAsyncRejection(() => release([no, no, down, honestly, honestly]), "SHARES_MISSING");
  });

  it("asks nobody when the committee's keys do not belong together", async () => {
    const { generation } = committee;
    const { record } = generation.keys;
    const [one, ...others] = record.verificationShares;
    const mixed = { ...record, verificationShares: [...others, one as Uint8Array] };
    const active = { id: SCOPE.committeeId, ...generation, keys: { ...generation.keys, record: mixed } };
    const asked: number[] = [];
    const ask: Reply = async (index, request) => {
      asked.push(index);
      return await honestly(index, request);
    };
    const wanted = { secret, sealed, policyData: POLICY_DATA, evidence: "0x1234" };
    const context = {
      chain,
      account,
      committee: active as unknown as CommitteeWithKeys,
      members: membersOf(Array(5).fill(ask)),
    };
    expect(await failure(releaseSecret(wanted, context))).to.be.instanceOf(TallystickError);
    expect(asked).to.deep.equal([]);
  });
});
