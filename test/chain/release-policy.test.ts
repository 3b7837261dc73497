/** What nodes ask a policy, and what they make of answers of any kind, on a real chain. */

import { expect } from "chai";
import { keccak256, ZeroHash } from "ethers";
import hre from "hardhat";
import { type ChainReader, connectChain } from "../../offchain/chain/deployment.ts";
import {
  confirmedBlock,
  NotReleasedError,
  RELEASE_GAS,
  type ReleaseQuestion,
  type ReleaseRefusal,
  requireRecent,
  requireRelease,
} from "../../offchain/chain/release-policy.ts";
import { ChainUnavailableError } from "../../offchain/chain/revert.ts";
import { fromHex } from "../../offchain/core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../offchain/core/errors.ts";
import { type FaultyProxy, startFaultyProxy } from "../helpers/anvil.ts";
import { deployTo } from "../helpers/contracts.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { failure } from "../helpers/promises.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";
import { deployOddPolicy, type OddAnswer } from "../helpers/zoo-policy.ts";

const DATA = new TextEncoder().encode("data");
const REQUESTER = `0x${"11".repeat(20)}`;

describe("release policies on Hardhat's network, whose errors have other texts", () => {
  it("are told apart as well", async () => {
    const server = await hre.network.createServer();
    const { address, port } = await server.listen();
    try {
      const deployment = await deployTo(`http://${address}:${port}`);
      const chain = await connectChain(deployment);
      const label = {
        ledger: { chainId: BigInt(deployment.chainId), keyLedger: deployment.contracts.keyLedger },
        recordId: new Uint8Array(32),
        version: 0,
        author: REQUESTER,
        policyDataHash: fromHex(keccak256(DATA)),
      };
      const signer = await chain.provider.getSigner();
      const seen: Record<string, string> = {};
      for (const answer of ["Yes", "No", "RevertsWithText", "RevertsWithNothing", "InvalidOpcode", "Loops"] as const) {
        const policy = await deployOddPolicy(signer, answer);
        const block = await confirmedBlock(chain, 1);
        const asked = {
          label: { ...label, policy },
          policyData: DATA,
          requester: REQUESTER,
          sessionKey: new Uint8Array(32),
        };
        seen[answer] = await requireRelease(chain, asked, block).then(
          () => "released",
          (error) => (error instanceof NotReleasedError ? error.refusal : String(error)),
        );
      }
      chain.close();
      expect(seen).to.deep.equal({
        Yes: "released",
        No: "said no",
        RevertsWithText: "reverted",
        RevertsWithNothing: "reverted",
        InvalidOpcode: "reverted",
        Loops: "out of gas",
      });
    } finally {
      await server.close();
    }
  });
});

describe("release policies on a chain", () => {
  let local: LocalChain;
  let proxy: FaultyProxy;
  let chain: ChainReader;

  before(async () => {
    local = await startLocalChain();
    proxy = await startFaultyProxy(local.rpcUrl);
    chain = await connectChain(local.deployment, { rpcUrl: proxy.url });
  });
  after(async () => {
    chain.close();
    await proxy.close();
    await local.stop();
  });
  afterEach(() => {
    proxy.fault = () => undefined;
  });

  function question(policy: string, changes: Partial<ReleaseQuestion> = {}): ReleaseQuestion {
    const { chainId, contracts } = local.deployment;
    return {
      label: {
        ledger: { chainId: BigInt(chainId), keyLedger: contracts.keyLedger },
        recordId: new Uint8Array(32).fill(1),
        version: 1,
        author: `0x${"22".repeat(20)}`,
        policy,
        policyDataHash: fromHex(keccak256(DATA)),
      },
      policyData: DATA,
      requester: REQUESTER,
      sessionKey: new Uint8Array(32).fill(3),
      ...changes,
    };
  }

  async function ask(asked: ReleaseQuestion): Promise<void> {
    await requireRelease(chain, asked, await confirmedBlock(chain, 1));
  }

  async function refusalOf(policy: string): Promise<NotReleasedError> {
    const error = await failure(ask(question(policy)));
    expect(error).to.be.instanceOf(NotReleasedError);
    return error as NotReleasedError;
  }

  for (const answer of ["Yes", "WithinTheCap"] as const satisfies readonly OddAnswer[]) {
    it(`releases what a policy allows: ${answer}`, async () => {
      await ask(question(await deployOddPolicy(local.account(1), answer)));
    });
  }

  const refusals: readonly [OddAnswer, ReleaseRefusal][] = [
    ["No", "said no"],
    ["RevertsWithText", "reverted"],
    ["RevertsWithNothing", "reverted"],
    ["RevertsWithYes", "reverted"],
    ["RevertsWithMuch", "reverted"],
    ["FailsAnAssertion", "reverted"],
    ["InvalidOpcode", "reverted"],
    ["Loops", "out of gas"],
    ["BeyondTheCap", "out of gas"],
    ["Two", "malformed answer"],
    ["HighBit", "malformed answer"],
    ["Short", "malformed answer"],
    ["Long", "malformed answer"],
    ["Huge", "malformed answer"],
    ["Nothing", "malformed answer"],
  ];
  for (const [answer, refusal] of refusals) {
    it(`releases nothing when a policy does not say a clear yes: ${answer} is "${refusal}"`, async () => {
      const policy = await deployOddPolicy(local.account(1), answer);
      const error = await refusalOf(policy);
      expect(error).to.include({ code: "NOT_RELEASED", refusal, check: refusal, party: `policy ${policy}` });
      expect(error.retryable).to.equal(false);
      expect(JSON.stringify(error).length).to.be.lessThan(1000);
    });
  }

  it("releases nothing without code at the address, also of an account with a balance", async () => {
    expect((await refusalOf(`0x${"77".repeat(20)}`)).refusal).to.equal("no code");
    expect((await refusalOf(local.account(0).address)).refusal).to.equal("no code");
    // A precompile answers a call without having code: here the hash of what it was asked.
    expect((await refusalOf(`0x${"00".repeat(19)}02`)).refusal).to.equal("malformed answer");
  });

  it("gives a policy its cap of gas and no more, however long the question is", async () => {
    const policy = await deployOddPolicy(local.account(1), "BeyondTheCap");
    const evidence = new Uint8Array(4096).fill(255);
    const error = await failure(ask(question(policy, { evidence })));
    expect(error).to.be.instanceOf(NotReleasedError).and.to.include({ refusal: "out of gas" });
    const within = await deployOddPolicy(local.account(1), "WithinTheCap");
    await ask(question(within, { evidence }));
    await ask(question(within, { evidence: new Uint8Array(4096) }));
    expect(RELEASE_GAS).to.equal(500_000n);
  });

  it("asks in the state of the confirmed block, not of the latest one", async () => {
    const before = await confirmedBlock(chain, 1);
    const policy = await deployOddPolicy(local.account(1), "Yes");
    const error = await failure(requireRelease(chain, question(policy), before));
    expect(error).to.be.instanceOf(NotReleasedError).and.to.include({ refusal: "no code" });
    expect((error as NotReleasedError).details).to.include({ blockNumber: before.number, blockHash: before.hash });
    const deep = await confirmedBlock(chain, 2);
    expect(deep).to.include({ number: before.number, hash: before.hash, time: before.time });
    await ask(question(policy));
  });

  it("names the block by its hash, and asks nobody about one that was replaced", async () => {
    const policy = await deployOddPolicy(local.account(1), "Yes");
    const block = await confirmedBlock(chain, 1);
    const named: unknown[] = [];
    proxy.fault = (method, params) => void (method === "eth_call" && named.push(params[1]));
    await requireRelease(chain, question(policy), block);
    expect(named).to.deep.equal([{ blockHash: block.hash, requireCanonical: true }]);
    const error = await failure(requireRelease(chain, question(policy), { ...block, hash: `0x${"0b".repeat(32)}` }));
    expect(error).to.be.instanceOf(ChainUnavailableError).and.to.include({ retryable: true });
  });

  it("asks an endpoint that does not know the form by number, and whether that is still the block", async () => {
    const fresh = await connectChain(local.deployment, { rpcUrl: proxy.url });
    try {
      const policy = await deployOddPolicy(local.account(1), "Yes");
      const block = await confirmedBlock(fresh, 1);
      const named: unknown[] = [];
      proxy.fault = (method, params) => {
        if (method !== "eth_call") return undefined;
        named.push(params[1]);
        return typeof params[1] === "object"
          ? { error: { code: -32_602, message: "invalid argument 1: cannot unmarshal object" } }
          : undefined;
      };
      await requireRelease(fresh, question(policy), block);
      await requireRelease(fresh, question(policy), block);
      const number = `0x${block.number.toString(16)}`;
      expect(named.map((each) => (typeof each === "object" ? "by hash" : each))).to.deep.equal([
        "by hash",
        number,
        number,
      ]);
      const replaced = { ...block, hash: `0x${"0b".repeat(32)}` };
      const error = await failure(requireRelease(fresh, question(policy), replaced));
      expect(error).to.be.instanceOf(ChainUnavailableError).and.to.include({ retryable: true });
    } finally {
      fresh.close();
    }
  });

  it("does not answer from the state of an endpoint that is behind", async () => {
    const block = await confirmedBlock(chain, 1);
    requireRecent(block, 600, block.time + 600);
    // Development chains may be ahead of the clock by days.
    requireRecent(block, 600, block.time - 86_400);
    const late = async () => requireRecent(block, 600, block.time + 601);
    const error = await expectAsyncRejection(late, "CHAIN_UNAVAILABLE");
    expect(error).to.include({ retryable: true, check: "age of the confirmed block" });
  });

  it("waits for a chain that is too short to have a confirmed block", async () => {
    const error = await expectAsyncRejection(() => confirmedBlock(chain, 100_000), "NOT_FOUND");
    expect(error.retryable).to.equal(true);
  });

  it("does not take a failure of the endpoint for an answer of the policy", async () => {
    const policy = await deployOddPolicy(local.account(1), "Yes");
    const block = await confirmedBlock(chain, 1);
    for (const fault of ["drop-request", "drop-answer", "unavailable"] as const) {
      proxy.fault = (method) => (method === "eth_call" ? fault : undefined);
      expect(await failure(requireRelease(chain, question(policy), block))).to.be.instanceOf(ChainUnavailableError);
    }
    proxy.fault = (method) =>
      method === "eth_call" ? { error: { code: -32_000, message: "missing trie node" } } : undefined;
    const error = await failure(requireRelease(chain, question(policy), block));
    expect(error).to.be.instanceOf(TallystickError).and.not.to.be.instanceOf(NotReleasedError);
    expect(error).to.include({ code: "CHAIN_UNAVAILABLE" });
    // The text of another client for a policy that used its gas up.
    proxy.fault = (method) => (method === "eth_call" ? { error: { code: -32_000, message: "out of gas" } } : undefined);
    expect(await failure(requireRelease(chain, question(policy), block))).to.include({ refusal: "out of gas" });
  });

  it("refuses to ask about data that is not the label's, or is too long, and about another chain", async () => {
    const policy = await deployOddPolicy(local.account(1), "Yes");
    const asked = question(policy);
    const { label } = asked;
    const wrong: [string, ReleaseQuestion][] = [
      ["hash of the policy's data", { ...asked, policyData: new TextEncoder().encode("other") }],
      ["hash of the policy's data", { ...asked, label: { ...label, policyDataHash: fromHex(ZeroHash) } }],
      ["chain id", { ...asked, label: { ...label, ledger: { ...label.ledger, chainId: 1n } } }],
      ["evidence", { ...asked, evidence: new Uint8Array(4097) }],
      ["length of the session key", { ...asked, sessionKey: new Uint8Array(31) }],
    ];
    const long = new Uint8Array(4097);
    wrong.push([
      "policy's data",
      { ...asked, policyData: long, label: { ...label, policyDataHash: fromHex(keccak256(long)) } },
    ]);
    for (const [check, one] of wrong) {
      const error = await failure(ask(one));
      expect(error, check).to.be.instanceOf(InvalidInputError).and.to.include({ check });
    }
  });
});
