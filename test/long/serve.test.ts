/** `serve` and `get --range` as processes against a real network. */
import { mkdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { exitCodeOf } from "../../offchain/cli/exit-codes.ts";
import { startTallystick, tallystick } from "../../scripts/demo/command.ts";
import { newPerson, type Person } from "../helpers/people.ts";
import { until } from "../helpers/promises.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { joinSharedNet, type TestNet } from "../helpers/shared-net.ts";

const MTIME = new Date(Date.UTC(2021, 4, 6, 7, 8, 9));
const LARGE = pseudoRandomBytes("served", 3 * 1024 * 1024);

describe("stored files over HTTP", () => {
  let net: TestNet;
  let alice: Person;
  let dataId: string;
  let snapshot: { readonly id: string; readonly timeMillis: number };
  const dir = (...names: string[]) => join(net.dir, ...names);

  before(async () => {
    net = await joinSharedNet();
    alice = await newPerson(net, "alice");
    mkdirSync(dir("files"));
    writeFileSync(dir("files", "large"), LARGE);
    writeFileSync(dir("files", "small"), "small");
    utimesSync(dir("files", "small"), MTIME, MTIME);
    const document = await put("desk/1");
    dataId = String(document.dataId);
    snapshot = document.snapshot as typeof snapshot;
  });
  after(() => net?.stop());

  async function put(host: string): Promise<Record<string, unknown>> {
    const args = ["put", dir("files"), "--no-data-set", "--host", host];
    const { document, exitCode, stderr } = await tallystick(alice, args);
    expect(exitCode, stderr).to.equal(0);
    return document;
  }

  /** Starts the server, asks it, and ends it as Ctrl-C does. */
  async function served(args: readonly string[], work: (url: string) => Promise<void>): Promise<void> {
    const command = startTallystick(alice, ["--json", "serve", ...args]);
    let said = "";
    command.process.stdout?.on("data", (piece: Buffer) => {
      said += piece.toString();
    });
    try {
      await until("the server is up", () => said.trimEnd().endsWith("}") || command.process.exitCode !== null);
      await work((JSON.parse(said) as { url: string }).url);
    } finally {
      command.process.kill("SIGINT");
    }
    const { exitCode, stderr } = await command.ended;
    expect(exitCode, stderr).to.equal(0);
  }

  it("serve shows everything that is listed, with ranges, until Ctrl-C", async () => {
    await served(["--webdav"], async (url) => {
      const listed = await fetch(`${url}data`, { method: "PROPFIND", headers: { depth: "1" } });
      expect(listed.status).to.equal(207);
      expect(await listed.text()).to.contain(`/data/${dataId}/`);
      const answer = await fetch(`${url}data/${dataId}/files/large`, { headers: { range: "bytes=1000000-1000099" } });
      expect(answer.status).to.equal(206);
      expect(Buffer.from(await answer.arrayBuffer()).equals(LARGE.slice(1_000_000, 1_000_100))).to.equal(true);
    });
  });

  it("serve shows snapshots by host and time, the newest also as such, with the times of their entries", async () => {
    await served(["--webdav"], async (url) => {
      const propfind = async (path: string) => {
        const answer = await fetch(`${url}${path}`, { method: "PROPFIND", headers: { depth: "1" } });
        expect(answer.status, path).to.equal(207);
        return await answer.text();
      };
      const root = await propfind("");
      expect(root).to.contain("/data/").and.to.contain("/snapshots/");
      const hosts = await propfind("snapshots/");
      expect(hosts).to.contain("/snapshots/desk%252F1/");
      const host = "snapshots/desk%252F1";
      const time = new Date(snapshot.timeMillis).toISOString().slice(0, 19).replaceAll(":", "-");
      const name = `${time}Z-${snapshot.id.slice(0, 8)}`;
      const listed = await propfind(`${host}/`);
      expect(listed).to.contain(`/${name}/`).and.to.contain("/latest/");
      expect(listed).to.contain(new Date(snapshot.timeMillis).toUTCString());
      for (const folder of [name, "latest"]) {
        expect(await propfind(`${host}/${folder}/files/`)).to.contain(MTIME.toUTCString());
        const answer = await fetch(`${url}${host}/${folder}/files/small`);
        expect([await answer.text(), answer.headers.get("last-modified")]).to.deep.equal([
          "small",
          MTIME.toUTCString(),
        ]);
      }
      expect((await fetch(`${url}${host}/none/files/small`)).status).to.equal(404);
      await put("laptop");
      const showsLaptop = async () => (await propfind("snapshots/")).includes("/snapshots/laptop/");
      await until("the new snapshot is shown", showsLaptop, 20);
    });
  });

  it("serve shows one snapshot with its times, and refuses a path in it", async () => {
    await served(["latest:desk/1"], async (url) => {
      const answer = await fetch(`${url}files/small`);
      expect([await answer.text(), answer.headers.get("last-modified")]).to.deep.equal(["small", MTIME.toUTCString()]);
    });
    const { exitCode, document } = await tallystick(alice, ["serve", "latest:desk/1:files"]);
    expect(exitCode).to.equal(exitCodeOf("INVALID_INPUT"));
    expect(document.error).to.include({ check: "snapshot" });
  });

  it("serve shows one data id, without WebDAV unless told, and refuses one that is not there", async () => {
    await served([dataId], async (url) => {
      expect(await (await fetch(`${url}files/small`)).text()).to.equal("small");
      expect((await fetch(url, { method: "PROPFIND", headers: { depth: "1" } })).status).to.equal(405);
    });
    const { exitCode, document } = await tallystick(alice, ["serve", `bafkrei${"a".repeat(52)}`]);
    expect(exitCode).to.equal(exitCodeOf("NOT_FOUND"));
    expect(document.error).to.include({ code: "NOT_FOUND" });
  });

  /** As bytes, which `startTallystick` does not keep. */
  async function get(...args: string[]) {
    const command = startTallystick(alice, ["get", ...args]);
    const pieces: Buffer[] = [];
    command.process.stdout?.on("data", (piece: Buffer) => pieces.push(piece));
    const { exitCode, stderr } = await command.ended;
    return { status: exitCode, stdout: Buffer.concat(pieces), stderr };
  }

  it("get --range writes the bytes to stdout and nothing else, both bounds included", async () => {
    for (const [range, start, end] of [
      ["1048576-2097151", 1_048_576, 2_097_152],
      ["-10", LARGE.length - 10, LARGE.length],
    ] as const) {
      const { status, stdout, stderr } = await get(`${dataId}:files/large`, `--range=${range}`);
      expect(status, stderr).to.equal(0);
      expect(stdout.equals(LARGE.slice(start, end)), range).to.equal(true);
    }
  });

  it("get --range writes a file, and replaces one only when told", async () => {
    const out = dir("part");
    const args = ["get", `${dataId}:files/small`, "--range", "1-3", "-o", out];
    const { document } = await tallystick(alice, args);
    expect(document).to.deep.include({ path: "files/small", start: 1, end: 4, writtenBytes: 3 });
    expect(readFileSync(out, "utf8")).to.equal("mal");
    expect((await tallystick(alice, args)).exitCode).to.equal(exitCodeOf("CONFLICT"));
    expect((await tallystick(alice, [...args, "--overwrite"])).exitCode).to.equal(0);
  });

  it("get --range refuses what is no range, no byte of the file, no file, or two things on stdout", async () => {
    const file = `${dataId}:files/small`;
    for (const [args, code, message] of [
      [[file, "--range", "3-2"], "INVALID_INPUT", /first-last/],
      [[file, "--range", "5-"], "INVALID_INPUT", /no byte/],
      [[`${dataId}:files/none`, "--range", "0-"], "NOT_FOUND", /files\/none/],
      [[dataId], "INVALID_INPUT", /--out/],
    ] as const) {
      const { status, stdout, stderr } = await get(...args);
      expect(status, stderr).to.equal(exitCodeOf(code));
      expect(stderr).to.match(message);
      expect(stdout.length).to.equal(0);
    }
    const { exitCode, document } = await tallystick(alice, ["get", file, "--range", "0-1"]);
    expect(exitCode).to.equal(exitCodeOf("INVALID_INPUT"));
    expect(document.error).to.include({ check: "output of the range" });
  });
});
