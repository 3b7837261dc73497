/** Snapshots as folders by host and time. */
import { expect } from "chai";
import type { ReadableTree } from "../../offchain/agent/read/readable-tree.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import type { Snapshot } from "../../offchain/core/snapshot/snapshot.ts";
import { snapshotTrees } from "../../offchain/serve/snapshot-trees.ts";
import { collect } from "../helpers/promises.ts";
import { rejection } from "../helpers/rejection.ts";
import { snapshotOf } from "../helpers/snapshots.ts";

const TIME = Date.UTC(2026, 10, 28, 7, 42, 31, 250);

describe("snapshots as folders", () => {
  let listed: Snapshot[];
  let reads: number;
  let clock: number;
  let opened: string[];
  let failure: Error | undefined;
  let tree: ReadableTree;

  beforeEach(() => {
    [listed, reads, clock, opened, failure] = [[], 0, 0, [], undefined];
    tree = snapshotTrees({
      list: async () => {
        reads += 1;
        if (failure !== undefined) throw failure;
        return listed;
      },
      tree: (snapshot) => ({
        stat: async (path) => {
          opened.push(`${snapshot.dataId} ${path}`);
          return { type: "directory", name: path };
        },
        list: async function* () {
          yield { type: "directory", name: "inside" } as const;
        },
        open: async () => new ReadableStream<Uint8Array>(),
      }),
      now: () => clock,
    });
  });

  const namesIn = async (path: string) => (await collect(tree.list(path))).map(({ name }) => name);
  const nameOf = (snapshot: Snapshot, time = "2026-11-28T07-42-31Z") => `${time}-${snapshot.id.slice(0, 8)}`;

  it("are listed by host, and of each host in the order of time, with the newest once more", async () => {
    const [late, early, other] = [
      snapshotOf(1, { timeMillis: TIME }),
      snapshotOf(2, { timeMillis: Date.UTC(1969, 0, 2) }),
      snapshotOf(3, { host: "desk", timeMillis: TIME }),
    ];
    listed = [late, early, other];
    expect(await namesIn("")).to.deep.equal(["desk", "laptop"]);
    expect(await namesIn("laptop")).to.deep.equal([nameOf(early, "1969-01-02T00-00-00Z"), nameOf(late), "latest"]);
    const entries = await collect(tree.list("laptop"));
    expect(entries.map(({ modifiedMillis }) => modifiedMillis)).to.deep.equal([early.timeMillis, TIME, TIME]);
    expect(opened).to.deep.equal([]);
    expect(await namesIn(`desk/${nameOf(other)}`)).to.deep.equal(["inside"]);
    await tree.stat("laptop/latest/a");
    await tree.stat(`laptop/${nameOf(early, "1969-01-02T00-00-00Z")}/b`);
    expect(opened).to.deep.equal([`${late.dataId} a`, `${early.dataId} b`]);
    expect(await tree.stat("laptop/none/a")).to.equal(undefined);
    expect(await tree.stat("none")).to.equal(undefined);
  });

  it("are read when somebody asks, once for some seconds, and again after a failure", async () => {
    expect(reads).to.equal(0);
    listed = [snapshotOf(1)];
    await Promise.all([namesIn(""), namesIn("laptop"), tree.stat("laptop/latest/a")]);
    expect(reads).to.equal(1);
    listed = [snapshotOf(1), snapshotOf(2, { host: "new" })];
    clock = 4999;
    expect(await namesIn("")).to.deep.equal(["laptop"]);
    clock = 5000;
    expect(await namesIn("")).to.deep.equal(["laptop", "new"]);
    expect(reads).to.equal(2);
    clock = 10_000;
    failure = new TallystickError("nobody answers", { code: "UNREACHABLE" });
    expect(await rejection(namesIn(""))).to.equal(failure);
    failure = undefined;
    expect(await namesIn("")).to.deep.equal(["laptop", "new"]);
    expect(reads).to.equal(4);
  });

  it("have names that are one component of a path, another for each host", async () => {
    const hosts = ["a/b", "a%2Fb", ".", "..", "latest", "é"];
    listed = hosts.map((host, k) => snapshotOf(k, { host, timeMillis: k === 0 ? 8.64e15 : TIME }));
    const names = await namesIn("");
    expect(names).to.deep.equal(["%2E", "%2E%2E", "a%252Fb", "a%2Fb", "latest", "é"]);
    for (const name of names) {
      const [first = ""] = await namesIn(name);
      expect(first).to.match(/^[+]?[0-9]+-[0-9]{2}-[0-9]{2}T[0-9-]{8}Z-[0-9a-f]{8}$/);
      expect(await namesIn(`${name}/${first}`)).to.deep.equal(["inside"]);
    }
  });
});
