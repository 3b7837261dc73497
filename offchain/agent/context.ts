/**
 * What the operations of an agent share. Connections are made when they are first needed, so that listing the catalogue
 * works without a network, and a failed attempt is forgotten, so that the next one may succeed.
 */

import type { TransactionReceipt } from "ethers";
import type { ContractCall } from "../chain/contract-call.ts";
import { type RecordedDelegation, readDelegation } from "../chain/delegates.ts";
import { type ChainReader, connectChain, type Deployment, NoDeploymentError } from "../chain/deployment.ts";
import {
  type Committee,
  type CommitteeMember,
  type CommitteeWithKeys,
  notActive,
  readCommittee,
  readCommitteeKeys,
  readCommitteeOf,
  readCommitteeState,
  readStakeTerms,
} from "../chain/registry.ts";
import { type CallOptions, TransactionSender } from "../chain/sender.ts";
import type { PerKey, PublicKeys } from "../core/committee/run.ts";
import { TallystickError } from "../core/errors.ts";
import type { Identity } from "../core/identity/identity.ts";
import type { PartyOptions } from "../http/client.ts";
import { SessionTokens } from "../http/sessions.ts";
import { fetchTransport } from "../http/transport.ts";
import { AgentAccount } from "./account.ts";
import type { Catalogue } from "./catalogue.ts";
import { Archives } from "./keys/archives.ts";
import { NbmClient } from "./keys/nbm-client.ts";
import {
  OprfCommittee,
  type OprfGeneration,
  type OprfMember,
  type StakeTimes,
  stakeTimes,
  type WrongAnswer,
} from "./keys/oprf-committee.ts";
import type { ShareMember } from "./keys/share-collection.ts";
import { loadSuite } from "./pipeline/oprf-stage.ts";
import type { AgentPlatform } from "./platform.ts";
import { type Predecessor, readPredecessors } from "./predecessors.ts";
import type { AgentLogger } from "./progress.ts";
import { CspClient } from "./providers/csp-client.ts";
import { HttpStorageProvider } from "./providers/http-provider.ts";
import { ProviderSet } from "./providers/provider-set.ts";
import { announcingTransport, WaitNotices } from "./wait-notices.ts";

export interface ContextOptions {
  readonly identity: Identity;
  /** Absent for what needs no network, such as listing the catalogue. */
  readonly deployment: Deployment | undefined;
  /** A connection to its chain that was begun already. Default: one is made when it is needed. */
  readonly chain?: Promise<ChainReader> | undefined;
  readonly platform: AgentPlatform;
  readonly logger: AgentLogger;
  /** Blocks that must hold a transaction before it counts. */
  readonly confirmations: number;
  /**
   * The successor of the identity, which was replaced: sessions are the successor's, and what is read is sealed with
   * the keys of the identity.
   */
  readonly successor?: AgentAccount | undefined;
}

/** A record's time may be so far ahead of the block's: `MAX_CLOCK_SKEW_SECONDS` of the ledger. */
const CLOCK_SECONDS = 300n;

/** An activation of so long ago is not replaced any more. */
const FINAL_SECONDS = 3600;

/** What tells a generation from another one of its number. */
interface KnownGeneration extends Pick<OprfGeneration, "generation" | "keyMaterialHash"> {
  readonly activatedAt?: number;
}

/** A committee and clients for its members. */
export interface CommitteeLink {
  /** In the generation that was active when this link was made. */
  readonly committee: CommitteeWithKeys;
  readonly members: readonly (OprfMember & ShareMember)[];
  readonly nodes: readonly NbmClient[];
  readonly stakes: StakeTimes;
  readonly oprf: OprfCommittee;
}

export class AgentContext {
  readonly identity: Identity;
  readonly platform: AgentPlatform;
  readonly logger: AgentLogger;
  readonly account: AgentAccount;
  readonly waits: WaitNotices;
  /** Blocks that must hold a transaction before it counts. */
  readonly confirmations: number;
  readonly #deployment: Deployment | undefined;
  readonly #successor: AgentAccount | undefined;
  readonly #committees = new Map<bigint, Promise<CommitteeLink>>();
  readonly #closing = new AbortController();
  #chain: Promise<ChainReader> | undefined;
  #sender: Promise<TransactionSender> | undefined;
  #providers: ProviderSet | undefined;
  #sessions: SessionTokens | undefined;
  #predecessors: Promise<readonly Predecessor[]> | undefined;
  #delegation: Promise<RecordedDelegation | undefined> | undefined;

  constructor(options: ContextOptions) {
    this.identity = options.identity;
    this.#deployment = options.deployment;
    this.#successor = options.successor;
    this.platform = options.platform;
    this.logger = options.logger;
    this.waits = new WaitNotices(options.logger, options.platform.clock);
    this.confirmations = options.confirmations;
    this.account = new AgentAccount(options.identity.signingKey);
    if (options.chain !== undefined) void this.#keepChain(options.chain);
  }

  /** Aborts when the connections are closed: ends what runs beside an operation. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  get catalogue(): Catalogue {
    return this.platform.catalogue;
  }

  /** @throws NoDeploymentError when the agent was opened without one */
  get deployment(): Deployment {
    if (this.#deployment !== undefined) return this.#deployment;
    throw new NoDeploymentError("the agent was opened without a deployment", {
      check: "deployment",
      hint: "name a deployment file: only the catalogue can be read without one",
    });
  }

  /** @throws NoDeploymentError, ChainUnavailableError */
  chain(): Promise<ChainReader> {
    const connect = async () => await this.waits.during("chain", "connecting", () => connectChain(this.deployment));
    return this.#chain ?? this.#keepChain(connect());
  }

  #keepChain(connecting: Promise<ChainReader>): Promise<ChainReader> {
    const chain = forgetFailure(connecting, () => {
      this.#chain = undefined;
    });
    this.#chain = chain;
    return chain;
  }

  /**
   * Sends a transaction of this account and waits until it counts.
   * @throws ChainRevertedError, ChainUnavailableError; TallystickError FUNDS
   */
  async send(call: ContractCall, options: CallOptions = {}): Promise<TransactionReceipt> {
    const sender = await this.#openSender();
    return await this.waits.during("chain", call.description, () => sender.send(call, undefined, options));
  }

  /** The one sender of this account in this process. */
  #openSender(): Promise<TransactionSender> {
    const open = async () =>
      new TransactionSender(await this.chain(), this.identity.signingKey, { confirmations: this.confirmations });
    this.#sender ??= forgetFailure(open(), () => {
      this.#sender = undefined;
    });
    return this.#sender;
  }

  /** Who opens sessions, and asks nodes for keys: the account, or its successor once it was replaced. */
  get requester(): AgentAccount {
    return this.#successor ?? this.account;
  }

  /** The providers of the deployment. @throws InvalidInputError when it lists none, or one twice; NoDeploymentError */
  providers(): ProviderSet {
    this.#providers ??= new ProviderSet(
      this.deployment.providers.map(
        ({ url, account }) =>
          new HttpStorageProvider(
            new CspClient(url, account, this.#sessionTokens(), this.#httpTo(`provider ${originOf(url)}`)),
            this.#successor === undefined ? undefined : this.account.address,
          ),
      ),
      () => this.noticeLoss(),
    );
    return this.#providers;
  }

  /**
   * Something that was stored turns out to be lost or damaged. What repairs it is another put, which must not rely on
   * what was confirmed before: the file cache is emptied. That this fails is told, and hides no error.
   */
  noticeLoss(): void {
    try {
      this.platform.fileCache?.forget();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.logger.warn(
        { reason },
        "the file cache cannot be emptied; put the files again with --force-rescan, since data was lost",
      );
    }
  }

  /**
   * The committee that evaluates keys and takes new records.
   * @throws TallystickError NOT_FOUND, CONFLICT while it is forming
   */
  async committee(): Promise<CommitteeLink> {
    const named = BigInt(this.deployment.committeeId);
    const id = named > 0n ? named : await readCommitteeOf(await this.chain(), this.account.address);
    if (id === undefined || id === 0n) {
      throw new TallystickError("the deployment has no committee of key nodes", {
        code: "NOT_FOUND",
        party: "deployment",
        check: "active committee",
        hint: "name one in the deployment file",
      });
    }
    return await this.committeeById(id);
  }

  /**
   * @throws TallystickError NOT_FOUND, CONFLICT while it is forming; InvalidPointError when its keys do not belong
   *   together
   */
  async committeeById(id: bigint): Promise<CommitteeLink> {
    const known = this.#committees.get(id);
    if (known === undefined) return await this.#keepLink(id, this.#link(id));
    const link = await known;
    // A chain that does not answer is no reason not to ask the nodes that were members.
    const renewed = await this.#linkIfOther(id, link.committee).catch((error: unknown) => {
      if (error instanceof TallystickError && error.code === "CHAIN_UNAVAILABLE") return undefined;
      throw error;
    });
    return renewed ?? link;
  }

  /**
   * Who were members of a committee, set by set, those of the generation that was active at a time first.
   * @param time unix seconds
   */
  async *membersSince(link: CommitteeLink, time: bigint): AsyncGenerator<CommitteeLink["members"]> {
    const { id, generation: active } = link.committee;
    const seen = new Set<string>();
    const isNew = ({ members }: Pick<Committee, "members">) => {
      const name = members.map(({ operator }) => operator).join();
      return !seen.has(name) && seen.add(name) !== undefined;
    };
    const later: CommitteeLink["members"][] = [];
    for (let generation = active; generation >= 1; generation -= 1) {
      const committee =
        generation === active ? link.committee : await readCommittee(await this.chain(), id, generation);
      if (committee.activatedAt === 0 || !isNew(committee)) continue;
      const members = generation === active ? link.members : this.#reach(committee, link.committee);
      // The clocks of who recorded and of the chain differ a little.
      if (BigInt(committee.activatedAt) > time + CLOCK_SECONDS) later.unshift(members);
      else yield members;
    }
    yield* later;
  }

  #keepLink(id: bigint, linking: Promise<CommitteeLink>): Promise<CommitteeLink> {
    const link = forgetFailure(linking, () => this.#committees.delete(id));
    this.#committees.set(id, link);
    return link;
  }

  /**
   * Links to the active generation when it is another one, or has other keys: a reorganisation may undo an activation,
   * or bring another one of the same number.
   * @param activatedAt unix seconds; unless given, the keys are compared however old the activation is
   */
  async #linkIfOther(
    id: bigint,
    { generation, keyMaterialHash, activatedAt }: KnownGeneration,
  ): Promise<CommitteeLink | undefined> {
    const chain = await this.chain();
    const { active } = await readCommitteeState(chain, id);
    // None: it is being made again, and the members of before answer as long as they have their shares.
    if (active === 0) return undefined;
    if (active !== generation) return await this.#relink(id);
    const isFinal = activatedAt !== undefined && activatedAt + FINAL_SECONDS < Date.now() / 1000;
    if (isFinal || (await readCommittee(chain, id, active)).keyMaterialHash === keyMaterialHash) return undefined;
    return await this.#relink(id);
  }

  /** Reads the active generation, and goes on with it. */
  async #relink(id: bigint): Promise<CommitteeLink> {
    const before = await this.#committees.get(id);
    return await this.#keepLink(id, this.#link(id, before?.oprf));
  }

  /** Archives of key records: those of the committee's nodes. */
  async archives(): Promise<Archives> {
    const { committee, nodes } = await this.committee();
    const enough = committee.size - committee.threshold + 1;
    return new Archives(await this.chain(), nodes, { logger: this.logger, enough });
  }

  /**
   * The accounts that this one has replaced, the latest first; most have replaced none. Asked of the chain when it is
   * first needed.
   * @throws IntegrityError naming a predecessor whose handover does not open; NoDeploymentError, ChainUnavailableError
   */
  async predecessors(): Promise<readonly Predecessor[]> {
    const read = async () => await readPredecessors(await this.chain(), this.identity);
    this.#predecessors ??= forgetFailure(read(), () => {
      this.#predecessors = undefined;
    });
    return await this.#predecessors;
  }

  /**
   * The account that this one acts for, and how far; undefined for an account of its own. Asked of the chain when it is
   * first needed: no delegate becomes anything else.
   * @throws NoDeploymentError, ChainUnavailableError
   */
  async delegation(): Promise<RecordedDelegation | undefined> {
    const read = async () => await readDelegation(await this.chain(), this.account.address);
    this.#delegation ??= forgetFailure(read(), () => {
      this.#delegation = undefined;
    });
    return await this.#delegation;
  }

  /**
   * Runs what must not run twice at once for one catalogue.
   * @throws the signal's reason while waiting; whatever the work throws
   */
  async exclusive<Result>(work: () => Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
    const onWait = () =>
      this.logger.warn({}, "another command of this home is recording or agreeing; waiting for its end");
    return await this.platform.lock.exclusive(work, { signal, onWait });
  }

  async close(): Promise<void> {
    await this.platform.close();
    this.disconnect();
  }

  /** As `close`, for a context whose platform another one closes. */
  disconnect(): void {
    this.#closing.abort();
    this.#sessions?.close();
    this.#predecessors?.then(
      (line) => {
        for (const { identity } of line) identity.wipe();
      },
      () => undefined,
    );
    // A connection that is still being opened is closed as soon as it is open, without waiting for it here.
    this.#chain?.then(
      (chain) => chain.close(),
      () => undefined,
    );
  }

  /** Loaded when it is needed: most commands never meet a wrong answer. */
  async #keepWrongAnswer(answer: WrongAnswer): Promise<void> {
    const store = this.platform.wrongAnswers;
    if (store === undefined) return;
    const { keepWrongAnswer } = await import("./keys/wrong-answers.ts");
    const scope = { deployment: this.deployment, account: this.account.address };
    await keepWrongAnswer(scope, store, this.logger, answer);
  }

  #sessionTokens(): SessionTokens {
    this.#sessions ??= new SessionTokens(this.requester, this.deployment);
    return this.#sessions;
  }

  #httpTo(party: string): PartyOptions {
    const transport = this.platform.http.transport ?? fetchTransport();
    return { transport: announcingTransport(transport, this.waits, party) };
  }

  /** @param oprf goes on with the active generation, for those who have it already */
  async #link(id: bigint, oprf?: OprfCommittee): Promise<CommitteeLink> {
    const chain = await this.chain();
    const { active } = await readCommitteeState(chain, id);
    if (active === 0) throw notActive(await readCommittee(chain, id));
    const readAt = Date.now() / 1000;
    const [committee, { exitDelaySeconds }] = await Promise.all([
      readCommitteeKeys(chain, id, active, (found) => this.archivedKeys(found)),
      readStakeTerms(chain),
    ]);
    const members = this.#reach(committee, committee);
    const renew = async (from: OprfGeneration) => {
      const link = await this.#linkIfOther(id, from);
      return link === undefined ? undefined : generationOf(link);
    };
    const onWrongAnswer = (answer: WrongAnswer) => this.#keepWrongAnswer(answer);
    const nodes = members.filter(({ url }) => url !== "").map(({ client }) => client);
    const stakes = stakeTimes(readAt, exitDelaySeconds);
    const current = generationOf({ committee, members, stakes });
    if (oprf === undefined) {
      const refresh = async () => generationOf(await this.#relink(id));
      const options = { logger: this.logger, renew, refresh, onWrongAnswer };
      return { committee, members, nodes, stakes, oprf: new OprfCommittee(id, this.account.address, current, options) };
    }
    oprf.use(current);
    return { committee, members, nodes, stakes, oprf };
  }

  /** Members with clients, and verification shares where they are those of `keyed`. */
  #reach(committee: Committee, { keys, generation }: CommitteeWithKeys): (OprfMember & ShareMember)[] {
    return committee.members.map((member) => ({
      ...member,
      verificationShare:
        (generation === committee.generation ? keys.oprf.verificationShares[member.index - 1] : undefined) ??
        new Uint8Array(),
      client: this.nodeAt(member),
    }));
  }

  /** A client of a node; whoever has no address cannot be reached by it. */
  nodeAt({ url, operator }: Pick<CommitteeMember, "url" | "operator">): NbmClient {
    return new NbmClient(url, operator, this.#sessionTokens(), this.#httpTo(`node ${originOf(url)}`));
  }

  /**
   * Keys of a generation from the archives of its members; undefined when none of them has them. Loaded when it is
   * needed: most endpoints have the event.
   */
  async archivedKeys(committee: Committee): Promise<PerKey<PublicKeys> | undefined> {
    const { keyMaterialFromNodes } = await import("./keys/key-material.ts");
    const nodes = committee.members.filter(({ url }) => url !== "").map((member) => this.nodeAt(member));
    return await keyMaterialFromNodes(nodes, committee, this.logger);
  }
}

function generationOf({
  committee,
  members,
  stakes,
}: Pick<CommitteeLink, "committee" | "members" | "stakes">): OprfGeneration {
  const { generation, threshold, keyMaterialHash } = committee;
  return { generation, threshold, members, keyMaterialHash, stakes, checkKeys: () => requireConsistentKeys(committee) };
}

/** One check is enough: with consistent verification shares, every quorum gives the same keys. */
async function requireConsistentKeys({ keys, threshold }: CommitteeWithKeys): Promise<void> {
  await loadSuite();
  const [{ ristretto255Group }, { verifyCommitteeKeys }] = await Promise.all([
    import("../core/oprf/group.ts"),
    import("../core/oprf/threshold.ts"),
  ]);
  const { groupPublicKey, verificationShares } = keys.oprf;
  verifyCommitteeKeys(ristretto255Group, groupPublicKey, verificationShares, threshold);
}

/** Address of a party without what may be secret in a URL. */
function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : url;
}

/** Passes the promise on and undoes its caching when it fails. */
function forgetFailure<Value>(promise: Promise<Value>, forget: () => void): Promise<Value> {
  promise.catch(forget);
  return promise;
}
