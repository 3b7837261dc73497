/** The client's side of sessions: what it signs for whom, and when it opens another one. */

import { expect } from "chai";
import { AgentAccount } from "../../offchain/agent/account.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import type { TypedData } from "../../offchain/core/identity/typed-messages.ts";
import { authorizationOf, newToken, tokenFromAuthorization } from "../../offchain/http/authorization.ts";
import { HttpParty } from "../../offchain/http/client.ts";
import { SessionTokens } from "../../offchain/http/sessions.ts";
import { fetchTransport } from "../../offchain/http/transport.ts";

const keyLedger = `0x${"11".repeat(20)}`;
const storageEscrow = `0x${"22".repeat(20)}`;
const audience = `0x${"33".repeat(20)}`;

class RecordingAccount extends AgentAccount {
  readonly signed: TypedData<object>[] = [];

  override async sign<Message extends object>(typed: TypedData<Message>): Promise<string> {
    this.signed.push(typed);
    return await super.sign(typed);
  }
}

describe("http sessions", () => {
  let now: number;
  let opened: number;
  let account: RecordingAccount;
  let tokens: SessionTokens;
  const answering: typeof fetch = async (_input, init) => {
    opened += 1;
    const { expiresAt } = JSON.parse(String(init?.body)) as { expiresAt: number };
    return Response.json({ token: newToken().text, expiresAt });
  };
  const node = new HttpParty("node", "http://node.test", { transport: fetchTransport({ fetch: answering }) });
  const provider = new HttpParty("provider", "http://provider.test", {
    transport: fetchTransport({ fetch: answering }),
  });

  beforeEach(() => {
    now = 1_800_000_000;
    opened = 0;
    account = new RecordingAccount(new Uint8Array(32).fill(7));
    tokens = new SessionTokens(
      account,
      { chainId: 31_337, contracts: { keyLedger, storageEscrow } },
      { now: () => now },
    );
  });

  it("name the chain, and the key ledger towards nodes, the storage escrow towards providers", async () => {
    await tokens.with(node, audience, async () => undefined);
    await tokens.with(provider, audience, async () => undefined);
    expect(account.signed.map(({ domain }) => domain.verifyingContract)).to.deep.equal([keyLedger, storageEscrow]);
    expect(account.signed.map(({ domain }) => domain.chainId)).to.deep.equal([31_337n, 31_337n]);
  });

  it("last until shortly before their end, by the clock that is given", async () => {
    const use = () => tokens.with(node, audience, async (token) => token);
    const first = await use();
    now += 2800;
    expect(await use()).to.equal(first);
    now += 100;
    expect(await use()).not.to.equal(first);
    expect(opened).to.equal(2);
  });

  it("are renewed once when the daemon does not know the token any more", async () => {
    const forgotten = new TallystickError("unknown session", { code: "INVALID_SIGNATURE" });
    const seen: string[] = [];
    const failure = await tokens
      .with(node, audience, async (token) => {
        seen.push(token);
        throw forgotten;
      })
      .catch((error: unknown) => error);
    expect(failure).to.equal(forgotten);
    expect(new Set(seen).size).to.equal(2);
  });

  it("have one header form on both sides", () => {
    const { bytes, text } = newToken();
    expect(toHex(tokenFromAuthorization(authorizationOf(text)) ?? new Uint8Array())).to.equal(toHex(bytes));
    for (const header of [undefined, "", "Bearer", `bearer ${text}`, `Bearer ${text}=`, `Bearer ${"A".repeat(42)}B`]) {
      expect(tokenFromAuthorization(header), header).to.equal(undefined);
    }
  });
});
