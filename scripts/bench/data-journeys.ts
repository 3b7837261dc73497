/**
 * The measurements of `npm run bench:data`: journeys through steps, each step by every contender in turn, so that what
 * a ratio compares ran within seconds of each other.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { differences } from "../demo/story.ts";
import { type ContenderName, JOURNEYS, orderOf, type Sample, type StepName, type Subject } from "./data-figures.ts";
import { type MeasuredCommand, MeasuredNetwork } from "./data-network.ts";
import type { Peer, PeerCommands } from "./data-peers.ts";
import {
  addOneSmallFile,
  changeOneSmallFile,
  LARGE_FILE_BYTES,
  SMALL_FILE_BYTES,
  writeHalfDuplicateTree,
  writeSmallFiles,
  writeTextTree,
} from "./data-trees.ts";
import { type CommandPlan, runToSuccess, touchMemory } from "./process-cost.ts";

/** At scale 1. */
const LARGE_FILES = 64;
const TEXT_FILES = 32;
const SMALL_FILES = 10_000;
const MANY_FILES = 100_000;
/** Of all processes of a contender together. */
const PROCESS_BYTES = 512 * 1024 * 1024;

export interface BenchPlan {
  /** Everything is written below it. */
  readonly dir: string;
  readonly steps: ReadonlySet<StepName>;
  readonly scale: number;
  readonly runs: number;
  readonly blockTimeSeconds: number;
  readonly peers: readonly Peer[];
  readonly say: (line: string) => void;
}

export interface Measurements {
  readonly samples: Sample[];
  readonly subjects: ReadonlyMap<StepName, Subject>;
}

interface Tree extends Subject {
  readonly path: string;
  write(): void;
}

/** What a step runs. Absent where a peer takes no part. */
interface Stage {
  readonly step: StepName;
  readonly tree: Tree;
  readonly ours: (network: MeasuredNetwork, state: JourneyState) => Promise<Measured>;
  readonly peer?: (commands: PeerCommands, out: string) => CommandPlan;
  /** Changes the tree before anybody runs the step. */
  readonly before?: (run: number) => void;
  /** Whether it restores: the result is then compared with the tree. */
  readonly restores?: true;
}

type Measured = Pick<MeasuredCommand, "cost"> & Partial<MeasuredCommand>;

interface JourneyState {
  /** Where the step restores to; a folder of its own. */
  readonly out: string;
  /** Data id of the last put. */
  readonly dataId: string;
}

/** Runs everything. */
export async function measureAll(plan: BenchPlan): Promise<Measurements> {
  const stages = stagesOf(plan);
  const samples: Sample[] = [];
  for (const journey of JOURNEYS) {
    const own = journey.flatMap((step) => stages.filter((stage) => stage.step === step && plan.steps.has(step)));
    if (own.length === 0) continue;
    const trees = new Set(own.map(({ tree }) => tree));
    try {
      for (const tree of trees) {
        plan.say(`writing ${tree.files.toLocaleString("en")} files, ${(tree.bytes / 2 ** 20).toFixed(0)} MiB…`);
        tree.write();
      }
      for (let run = 0; run < plan.runs; run += 1) samples.push(...(await runJourney(plan, own, run)));
    } finally {
      for (const tree of trees) rmSync(tree.path, { recursive: true, force: true });
    }
  }
  const subjects = new Map(stages.map(({ step, tree: { bytes, files } }) => [step, { bytes, files }]));
  return { samples, subjects };
}

async function runJourney(plan: BenchPlan, stages: readonly Stage[], run: number): Promise<Sample[]> {
  const dir = join(plan.dir, "run");
  const samples: Sample[] = [];
  const network = await MeasuredNetwork.start(join(dir, "tallystick"), plan.blockTimeSeconds);
  try {
    const repositories = new Map<Peer["name"], PeerCommands>();
    for (const peer of plan.peers) {
      const commands = peer.commands(join(dir, peer.name));
      await succeed(commands.create);
      repositories.set(peer.name, commands);
    }
    const contenders: ContenderName[] = ["tallystick", ...repositories.keys()];
    let dataId = "";
    for (const [index, stage] of stages.entries()) {
      stage.before?.(run);
      for (const contender of orderOf(contenders, run + index)) {
        const out = join(dir, "out");
        mkdirSync(out, { recursive: true });
        // What others wrote is not written out at this one's expense.
        spawnSync("sync");
        touchMemory(stage.tree.bytes + PROCESS_BYTES);
        const repository = contender === "tallystick" ? undefined : repositories.get(contender);
        let sample: Sample | undefined;
        if (contender === "tallystick") {
          const { cost, daemons, document } = await stage.ours(network, { out, dataId });
          dataId = String(document?.dataId ?? dataId);
          sample = { step: stage.step, run, contender, cost, ...(daemons === undefined ? {} : { daemons }) };
          if (stage.restores) requireIdentical(stage.tree.path, join(out, basename(stage.tree.path)));
        } else if (repository !== undefined && stage.peer !== undefined) {
          const cost = await succeed(stage.peer(repository, out));
          sample = { step: stage.step, run, contender, cost };
        }
        rmSync(out, { recursive: true, force: true });
        if (sample === undefined) continue;
        samples.push(sample);
        const { wallSeconds, cpuSeconds } = sample.cost;
        plan.say(
          `run ${run + 1} of ${plan.runs}, ${stage.step}, ${contender}: ` +
            `${wallSeconds.toFixed(2)} s, ${cpuSeconds.toFixed(2)} s of processor time`,
        );
      }
    }
    return samples;
  } finally {
    await network.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function succeed(plan: CommandPlan): Promise<Sample["cost"]> {
  const { wallSeconds, cpuSeconds, peakBytes } = await runToSuccess(plan);
  return { wallSeconds, cpuSeconds, peakBytes };
}

function requireIdentical(original: string, restored: string): void {
  const [first, ...more] = differences(original, restored);
  if (first !== undefined)
    throw new Error(`${restored}: ${1 + more.length} entries differ from the original: ${first}`);
}

function stagesOf({ dir, scale }: BenchPlan): Stage[] {
  const tree = (name: string, count: number, fileBytes: number, write: (path: string, files: number) => void): Tree => {
    const files = Math.max(4, Math.round(count * scale));
    const path = join(dir, name);
    return { path, files, bytes: files * fileBytes, write: () => write(path, files) };
  };
  const large = tree("large", LARGE_FILES, LARGE_FILE_BYTES, writeHalfDuplicateTree);
  const text = tree("text", TEXT_FILES, LARGE_FILE_BYTES, writeTextTree);
  const small = tree("small", SMALL_FILES, SMALL_FILE_BYTES, writeSmallFiles);
  const many = tree("many", MANY_FILES, SMALL_FILE_BYTES, writeSmallFiles);
  const one: Tree = {
    path: join(dir, "one-byte"),
    files: 1,
    bytes: 1,
    write: () => writeFileSync(join(dir, "one-byte"), "1"),
  };
  const put = (step: StepName, source: Tree, isCompressed = false): Stage => ({
    step,
    tree: source,
    ours: (network) => network.measure(["put", source.path, "--no-data-set"]),
    peer: ({ backup }) => backup(source.path, step, isCompressed),
  });
  return [
    put("put", large),
    put("again", large),
    {
      step: "get",
      tree: large,
      ours: (network, { out, dataId }) => network.measure(["get", dataId, "-o", out]),
      peer: ({ restore }, out) => restore("put", out),
      restores: true,
    },
    {
      step: "check",
      tree: large,
      ours: async (network) => ({ cost: await network.checkStore() }),
      peer: ({ check }) => check(),
    },
    { ...put("tagged", large), ours: (network) => network.measure(["put", large.path]) },
    {
      ...put("added", large),
      ours: (network) => network.measureAdding(large.path),
      before: (run) => addOneSmallFile(large.path, run),
    },
    put("small", small),
    put("many", many),
    put("many-again", many),
    { step: "record", tree: one, ours: put("record", one).ours },
    { step: "record-again", tree: one, ours: put("record-again", one).ours },
    { ...put("one-changed", many), before: (run) => changeOneSmallFile(many.path, many.files, run) },
    put("text", text, true),
  ];
}
