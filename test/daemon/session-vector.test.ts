/**
 * The session message, its signature and the token against vectors of an independent implementation
 * (test/vectors/derive-layouts.py).
 */

import { expect } from "chai";
import { TypedDataEncoder } from "ethers";
import { AgentAccount } from "../../offchain/agent/account.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { firstMismatch } from "../../offchain/core/wire/schema.ts";
import { SessionAnswer, SessionRequest } from "../../offchain/core/wire/session.ts";
import { checkAccountSignature } from "../../offchain/daemon/account-signature.ts";
import { SESSION_TABLES, Sessions } from "../../offchain/daemon/sessions.ts";
import { sessionMessage } from "../../offchain/http/sessions.ts";
import { sqliteScript } from "../../offchain/store/index/sql/column-types.ts";
import { statementsOn } from "../../offchain/store/index/sql/open-sqlite.ts";
import { openDatabase } from "../../offchain/store/index/sqlite.ts";
import vectors from "../vectors/session.json" with { type: "json" };

/** Whoever needs the chain to judge a plain account's signature has already failed. */
const noChain = {} as Parameters<typeof checkAccountSignature>[0];

describe("session vector", () => {
  const { request, chainId, contract, now } = vectors;
  const { account, audience, expiresAt } = request;
  const domain = { chainId: BigInt(chainId), contract };
  const typed = sessionMessage(domain, request);

  it("is the digest and the signature that the agent makes", async () => {
    expect(TypedDataEncoder.hash(typed.domain, typed.types, { ...typed.message })).to.equal(vectors.digest);
    const agent = new AgentAccount(fromHex(vectors.signingKey));
    expect(agent.address).to.equal(account);
    expect(await agent.sign(typed)).to.equal(request.signature);
  });

  it("opens a session, and the token's hash is what the daemon keeps", async () => {
    const database = openDatabase(":memory:", { migrations: [sqliteScript(SESSION_TABLES)] });
    const sessions = new Sessions({
      database: statementsOn(database),
      audience,
      domain,
      checkSignature: (who, message, signature) => checkAccountSignature(noChain, who, message, signature),
      now: () => now,
    });
    expect(firstMismatch(SessionRequest, request)).to.equal(undefined);
    const answer = await sessions.open(request, "192.0.2.1");
    expect(firstMismatch(SessionAnswer, answer)).to.equal(undefined);
    const row = database.prepare("SELECT token_hash FROM sessions").get();
    expect((await sessions.check(`Bearer ${answer.token}`)).account).to.equal(account);
    expect(toHex(row?.token_hash as Uint8Array)).not.to.equal(toHex(Buffer.from(answer.token, "base64url")));

    database
      .prepare("INSERT INTO sessions (token_hash, account, nonce, expires_at) VALUES (?, ?, ?, ?)")
      .run(fromHex(vectors.tokenHash), audience, "0x00", expiresAt);
    expect(await sessions.check(`Bearer ${vectors.token}`)).to.deep.equal({
      account: audience,
      signer: audience,
      expiresAt,
    });
    database.close();
  });
});
