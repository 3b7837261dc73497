import { expect } from "chai";
import { hexlify, randomBytes, Wallet } from "ethers";
import type { Replacement } from "../../offchain/chain/account-directory.ts";
import { ChainUnavailableError } from "../../offchain/chain/revert.ts";
import { KNOWN_SECONDS } from "../../offchain/daemon/remembered-answers.ts";
import { ReplacedAccounts } from "../../offchain/daemon/replaced-accounts.ts";
import { SESSION_TABLES, Sessions } from "../../offchain/daemon/sessions.ts";
import { sqliteScript } from "../../offchain/store/index/sql/column-types.ts";
import { statementsOn } from "../../offchain/store/index/sql/open-sqlite.ts";
import { type Database, openDatabase } from "../../offchain/store/index/sqlite.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";

const NOW = 1_800_000_000;
const audience = Wallet.createRandom().address;
const account = Wallet.createRandom().address;
const successor = Wallet.createRandom().address;
const NAMED: Replacement = { successor, at: NOW - 5 };

describe("sessions of replaced accounts", () => {
  let database: Database;
  let milliseconds: number;
  let questions: number;
  let answer: () => Replacement | undefined;
  let sessions: Sessions;
  let prepared: string[];

  beforeEach(() => {
    database = openDatabase(":memory:", { migrations: [sqliteScript(SESSION_TABLES)] });
    [milliseconds, questions, prepared] = [0, 0, []];
    answer = () => undefined;
    const read = async (asked: string) => {
      questions += 1;
      return asked === account ? answer() : undefined;
    };
    sessions = new Sessions({
      database: statementsOn(database),
      audience,
      domain: { chainId: 31_337n, contract: audience },
      now: () => NOW,
      monotonicNow: () => milliseconds,
      checkSignature: async () => undefined,
      replaced: new ReplacedAccounts({ read, monotonicNow: () => milliseconds }),
    });
    sessions.onOpening(async (opening) => {
      prepared.push(opening);
    });
  });
  afterEach(() => database.close());

  const open = (by = account) =>
    sessions.open(
      { account: by, audience, nonce: hexlify(randomBytes(32)), expiresAt: NOW + 600, signature: "0x" },
      "192.0.2.1",
    );
  const use = async (token: string) => await sessions.check(`Bearer ${token}`);
  const unavailable = () => {
    throw new ChainUnavailableError("reading");
  };

  it("opens none, naming the account, the check and the successor", async () => {
    answer = () => NAMED;
    const refused = await expectAsyncRejection(open, "ACCOUNT_REPLACED");
    expect(refused).to.include({
      party: `account ${account}`,
      check: "successor in the directory of accounts",
      received: `${successor}, named at 2027-01-15T07:59:55.000Z`,
      retryable: false,
    });
    expect(prepared).to.deep.equal([]);
    expect((await open(successor)).token).to.be.a("string");
    expect(prepared).to.deep.equal([successor]);
  });

  it("ends those that are open within the time that is stated, and asks the chain once in it", async () => {
    const { token } = await open();
    const before = questions;
    answer = () => NAMED;
    milliseconds += KNOWN_SECONDS * 1000 - 1;
    for (let times = 0; times < 5; times += 1) expect((await use(token)).account).to.equal(account);
    expect(questions).to.equal(before);
    milliseconds += 1;
    await expectAsyncRejection(() => use(token), "ACCOUNT_REPLACED");
    // A successor is for good: the chain is asked no more, and need not answer.
    answer = unavailable;
    milliseconds += 100 * KNOWN_SECONDS * 1000;
    await expectAsyncRejection(() => use(token), "ACCOUNT_REPLACED");
    await expectAsyncRejection(open, "ACCOUNT_REPLACED");
    expect(questions).to.equal(before + 1);
  });

  it("opens none while the chain does not answer, and lets those that are open go on", async () => {
    const { token } = await open();
    answer = unavailable;
    milliseconds += KNOWN_SECONDS * 1000;
    await expectAsyncRejection(open, "CHAIN_UNAVAILABLE");
    expect((await use(token)).account).to.equal(account);
    answer = () => NAMED;
    await expectAsyncRejection(() => use(token), "ACCOUNT_REPLACED");
  });

  it("gives out no token when what is to be done first fails", async () => {
    sessions.onOpening(async () => unavailable());
    await expectAsyncRejection(open, "CHAIN_UNAVAILABLE");
    expect(database.prepare("SELECT count(*) AS n FROM sessions").get()?.n).to.equal(0);
  });
});
