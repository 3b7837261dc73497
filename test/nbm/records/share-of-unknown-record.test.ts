import { expect } from "chai";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import type { Memberships } from "../../../offchain/nbm/generations/memberships.ts";
import type { Archive } from "../../../offchain/nbm/records/archive.ts";
import type { ArchiveFollower } from "../../../offchain/nbm/records/archive-follower.ts";
import { ShareService } from "../../../offchain/nbm/records/key-share-service.ts";
import { RecordOwnership } from "../../../offchain/nbm/records/record-ownership.ts";
import { walletOf } from "../../helpers/ledger-records.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const RECORD = `0x${"01".repeat(32)}`;
const NOW = 1_800_000_000;

describe("a request for the share of a record that the archive lacks", () => {
  const service = new ShareService({
    chain: { deployment: { chainId: 1, contracts: { keyLedger: walletOf(3).address } } } as unknown as ChainReader,
    checkSignature: async () => undefined,
    operator: walletOf(2).address,
    memberships: {} as Memberships,
    own: { open: async () => expect.fail("a share") },
    now: () => NOW,
  });
  const archive = { find: () => undefined } as unknown as Archive;
  const account = walletOf(1).address;
  const body = { account, sessionKey: `0x${"02".repeat(32)}`, expiresAt: NOW + 60, signature: "0x" };
  const request = { request: body, address: "192.0.2.1" };
  /** Any stranger can ask, so that a scan for each would keep the endpoint busy. */
  const ownership = (atHead: boolean) => {
    const follower = {
      refresh: async () => atHead,
      catchUp: async () => expect.fail("a scan of its own"),
    } as unknown as ArchiveFollower;
    return new RecordOwnership({
      chain: {} as ChainReader,
      operator: account,
      delegates: { find: async () => undefined },
      archive,
      follower,
    });
  };

  it("shares its scan of the chain with others", async () => {
    await expectAsyncRejection(() => service.release(RECORD, request, ownership(true)), "NOT_FOUND");
  });

  it("may be repeated while the chain does not answer, so that nobody takes the record for missing", async () => {
    const asked = () => service.release(RECORD, request, ownership(false));
    expect(await expectAsyncRejection(asked, "CHAIN_UNAVAILABLE")).to.include({ retryable: true });
  });
});
