/**
 * What a revocation costs at a provider that is a process of its own with its database on disk, asked over HTTP by what
 * `tallystick owners revoke` runs. The founder has put a real file and founded a real group. The other owners are
 * written into the provider's database while it is stopped, because a thousand proofs of ownership would take longer
 * than all else; those that are revoked have keys of their own, sessions, and what the provider has served them.
 */
import { once } from "node:events";
import { createWriteStream, readFileSync } from "node:fs";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { randomBytes } from "#primitives";
import { AgentAccount } from "../../offchain/agent/account.ts";
import { AgentContext } from "../../offchain/agent/context.ts";
import { openFileKey } from "../../offchain/agent/keys/file-key.ts";
import { nodePlatform } from "../../offchain/agent/node/platform.ts";
import { SILENT } from "../../offchain/agent/progress.ts";
import { CspClient } from "../../offchain/agent/providers/csp-client.ts";
import type { OwnerGroupKeeper } from "../../offchain/agent/providers/owner-groups.ts";
import { accountStubs } from "../../offchain/agent/stubs/account-stubs.ts";
import { readGroupStubs } from "../../offchain/agent/stubs/group-stubs.ts";
import { type ChangedGroup, OwnerGroups } from "../../offchain/agent/stubs/owner-groups.ts";
import type { StubOwner } from "../../offchain/agent/stubs/stub-owner.ts";
import { fromHex } from "../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import { identityFromPhrase } from "../../offchain/core/identity/identity.ts";
import { openKeystore } from "../../offchain/core/identity/keystore.ts";
import { unwrapGroupStubs, wrappedEpoch } from "../../offchain/core/revocable/group-stubs.ts";
import { openMemberPath } from "../../offchain/core/revocable/member-path.ts";
import { STUB_BYTES } from "../../offchain/core/revocable/package.ts";
import type { OwnerGroupAnswer } from "../../offchain/core/wire/owner-groups.ts";
import { ProviderDatabase } from "../../offchain/csp/database.ts";
import { GroupChanges } from "../../offchain/csp/owner-groups/group-changes.ts";
import { SessionTokens } from "../../offchain/http/sessions.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../../test/helpers/local-net.ts";
import { newPerson, type Person, withAgentOf } from "../../test/helpers/people.ts";
import { tallystick } from "../demo/command.ts";
import { aesCtrStream } from "../demo/keystream.ts";
import { median } from "./data-figures.ts";
import { type RevocationCounts, succeeds } from "./revoke-figures.ts";

const MIB = 1024 * 1024;

export interface HttpRevocationOptions {
  /** Owners before the last revocation that is measured; before the others there are more. */
  readonly owners: number;
  /** Size of the file. */
  readonly mib: number;
  readonly runs: number;
  /** Revocations by the whole command, beside the measured ones. */
  readonly commandRuns: number;
  readonly say?: (line: string) => void;
}

/** Medians of the times, the largest of the counts. */
export interface HttpRevocationFigure extends RevocationCounts {
  readonly mib: number;
  /** The slowest of all. */
  readonly slowestMilliseconds: number;
  /** From the start of a `tallystick owners revoke` process to its end. */
  readonly commandMilliseconds: number;
}

/** An owner that was written into the database, with what it needs to use its place. */
interface Placed {
  readonly account: AgentAccount;
  readonly secret: Uint8Array;
}

export async function measureRevocationsOverHttp(options: HttpRevocationOptions): Promise<HttpRevocationFigure> {
  const { say = () => undefined } = options;
  const net = await startLocalNet({ ...SMALL_COMMITTEE, epochBlocks: 1000, windowBlocks: 100, sampleCount: 30 });
  try {
    const founder = await newPerson(net, "founder");
    say(`putting a file of ${options.mib} MiB…`);
    const { dataId, groupId } = await foundGroup(net, founder, options.mib);
    const formers = Array.from({ length: options.runs + options.commandRuns }, newOwner);
    say(`writing ${options.owners} owners into the database of the provider…`);
    await placeOwners(net, founder, groupId, formers, options.owners - 2);
    say("revoking owners over HTTP…");
    return await revokeEach(net, founder, dataId, formers, options);
  } finally {
    await net.stop();
  }
}

async function foundGroup(net: LocalNet, founder: Person, mib: number): Promise<{ dataId: string; groupId: string }> {
  const file = join(net.dir, "file");
  const out = createWriteStream(file);
  for (let at = 0; at < mib; at += 1) {
    const piece = aesCtrStream(`piece ${at} of a file that many own`, MIB);
    if (!out.write(piece)) await once(out, "drain");
  }
  out.end();
  await finished(out);
  return await withAgentOf(net, founder, async (agent) => {
    const { dataId } = await agent.put([file], { keyMode: "revocable", dataSet: false });
    const { groups } = await agent.owners.create(dataId);
    return { dataId, groupId: groups[0]?.groupId ?? "" };
  });
}

function newOwner(): Placed {
  return { account: new AgentAccount(randomBytes(32)), secret: randomBytes(32) };
}

/** @param others owners that nobody uses, among which those with keys are spread */
async function placeOwners(
  net: LocalNet,
  founder: Person,
  groupId: string,
  formers: readonly Placed[],
  others: number,
): Promise<void> {
  const { dir, process: provider } = net.provider;
  await provider.stop("SIGTERM");
  const keystore: unknown = JSON.parse(readFileSync(join(dir, "keystore.json"), "utf8"));
  const passphrase = readFileSync(join(net.dir, "net", "passphrase"), "utf8").trim();
  const operatorSecret = await openKeystore(keystore, passphrase, "csp");
  const database = await ProviderDatabase.open({ kind: "sqlite" }, join(dir, "data"));
  try {
    const every = Math.max(1, Math.floor(others / formers.length));
    const join: { account: string; secret: Uint8Array }[] = [];
    for (let at = 0; at < others; at += 1) {
      const former = at % every === 0 ? formers[at / every] : undefined;
      if (former !== undefined) join.push({ account: former.account.address.toLowerCase(), secret: former.secret });
      join.push({ account: `0x${(at + 1).toString(16).padStart(40, "0")}`, secret: randomBytes(32) });
    }
    const members = join.map(({ account, secret }) => {
      return { account, becomes: { state: "member" as const, secret, since: 1 } };
    });
    const changes = new GroupChanges({ index: database.index, operatorSecret });
    await changes.lead(fromHex(groupId), () => ({ change: { join }, members }), founder.account);
  } finally {
    await database.close();
  }
  await provider.start();
}

async function revokeEach(
  net: LocalNet,
  founder: Person,
  dataId: string,
  formers: readonly Placed[],
  { owners, mib, runs }: HttpRevocationOptions,
): Promise<HttpRevocationFigure> {
  const identity = identityFromPhrase(founder.recoveryPhrase);
  const platform = nodePlatform(founder.home);
  const context = new AgentContext({
    identity,
    deployment: net.deployment,
    platform,
    logger: SILENT,
    confirmations: 1,
  });
  try {
    const { ownerGroups: groups } = context.providers().byAccount(net.provider.account);
    const group = await groups?.ofPut(dataId);
    if (groups === undefined || group === undefined) throw new Error("the group is not at the provider");
    const { fileKey } = await openFileKey(context, dataId);
    const owner = accountStubs(context, dataId, fileKey);
    const chunks = ((await readGroupStubs(groups, group, owner))?.stubs.length ?? 0) / STUB_BYTES;
    const samples: (ChangedGroup & { ms: number; ownerMs: number; rekeyBytes: number; leaks: number })[] = [];
    for (const former of formers.slice(0, runs)) {
      const robbed = await asMember(net, former, group);
      const started = performance.now();
      const { groups: changed } = await new OwnerGroups(context).revoke(dataId, former.account.address);
      const ms = performance.now() - started;
      const ownerMs = await readsAnew(groups, group, owner);
      const [change] = changed;
      if (change === undefined) throw new Error("nothing was revoked");
      const message = await groups.rekey(group.groupId, change.epoch);
      const leaks = await robbed.leaks(await groups.stubFile(group.groupId), message);
      samples.push({ ...change, ms, ownerMs, rekeyBytes: message.length, leaks });
    }
    const commands: number[] = [];
    for (const { account } of formers.slice(runs)) {
      const started = performance.now();
      const { exitCode, stderr } = await tallystick(founder, ["owners", "revoke", dataId, account.address]);
      if (exitCode !== 0) throw new Error(`tallystick owners revoke: ${stderr}`);
      commands.push(performance.now() - started);
    }
    const largest = (of: (sample: (typeof samples)[number]) => number) => Math.max(...samples.map(of));
    return {
      owners,
      mib,
      chunks,
      milliseconds: median(samples.map(({ ms }) => ms)),
      slowestMilliseconds: largest(({ ms }) => ms),
      commandMilliseconds: median(commands),
      ownerMilliseconds: median(samples.map(({ ownerMs }) => ownerMs)),
      messages: largest(({ messages }) => messages),
      rekeyBytes: largest(({ rekeyBytes }) => rekeyBytes),
      rewrittenBytes: largest(({ rewrittenBytes }) => rewrittenBytes),
      leaks: samples.reduce((sum, { leaks }) => sum + leaks, 0),
      runs,
    };
  } finally {
    await platform.close();
  }
}

async function readsAnew(groups: OwnerGroupKeeper, group: OwnerGroupAnswer, owner: StubOwner): Promise<number> {
  const started = performance.now();
  if ((await readGroupStubs(groups, group, owner)) === undefined) throw new Error("an owner reads nothing");
  return performance.now() - started;
}

/** A member with a session, its path and the stub file, as long as it is one. */
async function asMember(net: LocalNet, { account, secret }: Placed, group: OwnerGroupAnswer) {
  const groupId = fromHex(group.groupId);
  const ids = { groupId, managerKey: fromHex(group.managerKey) };
  const sessions = new SessionTokens(account, net.deployment);
  const { ownerGroups } = new CspClient(net.provider.url, net.provider.account, sessions);
  const path = await ownerGroups.path(group.groupId);
  const wrapped = await ownerGroups.stubFile(group.groupId);
  if (path === undefined || wrapped === undefined) throw new Error("a member is served nothing");
  const { groupKey, epoch } = openMemberPath(path, ids, secret);
  const opens = (served: Uint8Array, at: number) =>
    unwrapGroupStubs({ groupId, epoch: at, groupKey }, served, "provider");
  opens(wrapped, epoch);
  return {
    /** What it gets once it is revoked, with its session and its keys, from the provider and from another owner. */
    leaks: async (served: Uint8Array | undefined, message: Uint8Array): Promise<number> => {
      if (served === undefined) throw new Error("an owner is served nothing");
      const attempts = [
        async () => required(await ownerGroups.stubFile(group.groupId)),
        async () => required(await ownerGroups.path(group.groupId)),
        async () => required(await ownerGroups.ofPut(group.dataId)),
        async () => ownerGroups.rekey(group.groupId, wrappedEpoch(served, "provider")),
        async () => openMemberPath(path, ids, secret).apply(message),
        async () => opens(served, epoch),
        async () => opens(served, wrappedEpoch(served, "provider")),
      ];
      const got = await Promise.all(attempts.map(succeeds));
      return got.filter((one) => one).length;
    },
  };
}

/** @throws TallystickError for what the provider says it does not have */
function required<Found>(found: Found | undefined): Found {
  if (found !== undefined) return found;
  throw new TallystickError("nothing is there for the account", { code: "NOT_FOUND" });
}
