/** What is to be moved, where a stolen device that only writes has listed what nobody can read. */
import { expect } from "chai";
import { AgentAccount } from "../../../offchain/agent/account.ts";
import type { AgentContext } from "../../../offchain/agent/context.ts";
import { dataSetKeys } from "../../../offchain/agent/data-sets/keys.ts";
import { takeInventory } from "../../../offchain/agent/migration/inventory.ts";
import type { StorageProvider } from "../../../offchain/agent/providers/storage-provider.ts";
import { snapshotListAt } from "../../../offchain/agent/snapshots/account-keys.ts";
import type { OpenedDataSet } from "../../../offchain/chain/data-set-words.ts";
import type { ErrorCode } from "../../../offchain/core/error-codes.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { identityFromPhrase, newRecoveryPhrase } from "../../../offchain/core/identity/identity.ts";
import { MemoryListKeeper } from "../../helpers/memory-data-plane.ts";
import { memoryPlatform } from "../../helpers/memory-platform.ts";
import { rejection } from "../../helpers/rejection.ts";
import { snapshotOf, vectors } from "../../helpers/snapshots.ts";

const DEVICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const salt = `0x${"22".repeat(32)}`;

describe("the inventory of a migration", () => {
  const identity = identityFromPhrase(newRecoveryPhrase());

  /** @param code with which the key of each put fails */
  async function inventory(code: ErrorCode, device: string | undefined, retryable: boolean) {
    const provider = new MemoryListKeeper(`0x${"c5".repeat(20)}`);
    const from = provider as unknown as StorageProvider;
    const platform = memoryPlatform({ origin: { host: "laptop", user: "alice" } });
    const context = {
      identity,
      platform,
      catalogue: platform.catalogue,
      account: new AgentAccount(identity.signingKey),
      deployment: { chainId: 31337, contracts: { keyLedger: vectors.keyLedger, accountDirectory: vectors.keyLedger } },
      providers: () => [from],
      predecessors: async () => [],
      archives: async () => {
        throw new TallystickError("no key", { code, retryable });
      },
    } as unknown as AgentContext;
    const snapshot = snapshotOf(1, device === undefined ? {} : { device });
    const needed = { releases: provider.releaseCount, ids: async function* () {} };
    await snapshotListAt(context, from).append(snapshot, needed);
    const { keyHash } = await dataSetKeys(identity.auditSeed, salt);
    const opened = { id: salt, audit: { salt, keyHash } } as unknown as OpenedDataSet;
    return { snapshot, found: takeInventory(context, opened, from, from) };
  }

  for (const [code, retryable] of [
    ["SHARES_MISSING", true],
    ["NOT_RELEASED", true],
    ["INVALID_PROOF", false],
    ["INTEGRITY", false],
  ] as const) {
    it(`goes on when the key of what a device has listed is ${code}, and says so`, async () => {
      const { snapshot, found } = await inventory(code, DEVICE, retryable);
      const { damaged, snapshots } = await found;
      expect(damaged.map(({ id, error }) => [id, error.code])).to.deep.equal([[snapshot.dataId, code]]);
      expect(snapshots.map(({ id }) => id)).to.deep.equal([snapshot.id]);
    });
  }

  it("stops at a put of the account itself whose key nobody gives now, and when a party does not answer", async () => {
    for (const [code, device] of [
      ["SHARES_MISSING", undefined],
      ["UNREACHABLE", DEVICE],
    ] as const) {
      const { found } = await inventory(code, device, true);
      expect(await rejection(found)).to.include({ code });
    }
  });
});
