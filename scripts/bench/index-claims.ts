/** How many claims a provider answers for one client and for many at once; part of `npm run bench:index`. */
import { HDNodeWallet } from "ethers";
import { randomChunk, type TestChunk } from "../../test/csp/provider-fixture.ts";
import { type ProviderClient, ProviderProcess } from "../../test/csp/provider-process.ts";
import { type LocalChain, startLocalChain } from "../../test/helpers/local-chain.ts";
import { PostgresqlServer } from "../../test/helpers/postgresql.ts";

const CLIENTS = 64;
const CHUNKS_PER_CLAIM = 16;
const CHUNK_BYTES = 4096;
/** Claims of each of the many clients. */
const ROUNDS = 3;

export interface LoadFigures {
  readonly clients: number;
  readonly perSecond: number;
  /** From the request of the claim to the answer to its proof. */
  readonly p50Milliseconds: number;
  readonly p99Milliseconds: number;
  readonly longestMilliseconds: number;
}

export interface ClaimFigures {
  readonly engine: string;
  readonly one: LoadFigures;
  readonly many: LoadFigures;
  /** Throughput of many clients over that of one. */
  readonly ratio: number;
}

type Set = readonly TestChunk[];

async function claim(client: ProviderClient, chunks: Set): Promise<number> {
  const start = performance.now();
  const { missing } = await client.prove(await client.claim(chunks), chunks);
  if (missing.length > 0) throw new Error(`${missing.length} chunks of a claim were not found`);
  return performance.now() - start;
}

/** Every client claims the sets that it is given, one after the other. */
async function load(work: readonly (readonly [ProviderClient, readonly Set[]])[]): Promise<LoadFigures> {
  const times: number[] = [];
  const start = performance.now();
  await Promise.all(
    work.map(async ([client, sets]) => {
      for (const chunks of sets) times.push(await claim(client, chunks));
    }),
  );
  const seconds = (performance.now() - start) / 1000;
  const sorted = times.sort((a, b) => a - b);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
  return {
    clients: work.length,
    perSecond: times.length / seconds,
    p50Milliseconds: at(0.5),
    p99Milliseconds: at(0.99),
    longestMilliseconds: at(1),
  };
}

async function measureOn(provider: ProviderProcess): Promise<Omit<ClaimFigures, "engine">> {
  const connect = () => provider.connect(HDNodeWallet.createRandom());
  const owner = await connect();
  /** Each set is claimed once: an upload prepares few challenges, and further ones follow in the background. */
  const newSets = async (): Promise<Set[]> => {
    const sets = Array.from({ length: CLIENTS }, () =>
      Array.from({ length: CHUNKS_PER_CLAIM }, () => randomChunk(CHUNK_BYTES)),
    );
    for (const set of sets) await owner.upload(...set);
    return sets;
  };
  const clients: ProviderClient[] = [];
  for (let k = 0; k < CLIENTS; k++) clients.push(await connect());
  const [first] = clients;
  if (first === undefined) throw new Error("no client");
  // One client before and after the many, since the load of the machine changes.
  const before = await load([[first, await newSets()]]);
  const rounds: Set[][] = [];
  for (let round = 0; round < ROUNDS; round++) rounds.push(await newSets());
  const many = await load(clients.map((client, k) => [client, rounds.map((sets) => sets[k] ?? [])] as const));
  const after = await load([[first, await newSets()]]);
  const one = { ...before, perSecond: (before.perSecond + after.perSecond) / 2 };
  return { one, many, ratio: many.perSecond / one.perSecond };
}

/** Starts a chain, a provider and, for PostgreSQL, a server, and loads them with claims. */
export async function measureClaims(engine: "sqlite" | "postgresql"): Promise<ClaimFigures> {
  const local: LocalChain = await startLocalChain();
  const server = engine === "postgresql" ? await PostgresqlServer.start() : undefined;
  const url = await server?.createDatabase("provider");
  const provider = await ProviderProcess.prepare(
    local,
    { database: { kind: engine } },
    url === undefined ? {} : { environment: { TALLYSTICK_DATABASE_URL: url } },
  );
  try {
    await provider.start();
    return { engine, ...(await measureOn(provider)) };
  } finally {
    await provider.remove();
    await server?.remove();
    await local.stop();
  }
}
