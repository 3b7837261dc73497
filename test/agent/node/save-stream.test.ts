/** Files from streams: whole under their name, or not there. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { saveStream } from "../../../offchain/agent/node/save-stream.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

function streamOf(...pieces: (string | Error | (() => void))[]): ReadableStream<Uint8Array> {
  return new ReadableStream(
    {
      pull(controller) {
        const piece = pieces.shift();
        if (piece === undefined) controller.close();
        else if (piece instanceof Error) controller.error(piece);
        else if (typeof piece === "function") {
          piece();
          controller.enqueue(new Uint8Array(0));
        } else controller.enqueue(new TextEncoder().encode(piece));
      },
    },
    { highWaterMark: 0 },
  );
}

describe("files from streams", () => {
  let folder: string;
  const at = (name: string) => join(folder, name);
  const save = (stream: ReadableStream<Uint8Array>, overwrite = false) => saveStream(stream, at("f"), { overwrite });

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-save-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it("appear when they are whole, and not before", async () => {
    const seen: boolean[] = [];
    expect(await save(streamOf("one ", () => seen.push(existsSync(at("f"))), "two"))).to.equal(7);
    expect(seen).to.deep.equal([false]);
    expect(readFileSync(at("f"), "utf8")).to.equal("one two");
    expect(readdirSync(folder)).to.deep.equal(["f"]);
  });

  it("leave nothing behind when the stream fails", async () => {
    const damage = new TallystickError("damaged", { code: "INTEGRITY" });
    await expectAsyncRejection(() => save(streamOf("one", damage)), "INTEGRITY");
    expect(readdirSync(folder)).to.deep.equal([]);
  });

  it("replace what is there only when told, and nothing that appeared meanwhile", async () => {
    writeFileSync(at("f"), "mine");
    await expectAsyncRejection(() => save(streamOf("other")), "CONFLICT");
    expect(readFileSync(at("f"), "utf8")).to.equal("mine");
    await save(streamOf("other"), true);
    expect(readFileSync(at("f"), "utf8")).to.equal("other");
    rmSync(at("f"));
    await expectAsyncRejection(() => save(streamOf("late", () => writeFileSync(at("f"), "early"))), "CONFLICT");
    expect(readFileSync(at("f"), "utf8")).to.equal("early");
    expect(readdirSync(folder)).to.deep.equal(["f"]);
  });

  it("take the place of a link and not of what it points to, and never that of a folder", async () => {
    writeFileSync(at("precious"), "precious");
    symlinkSync(at("precious"), at("f"));
    await save(streamOf("new"), true);
    expect(readFileSync(at("precious"), "utf8")).to.equal("precious");
    expect(readFileSync(at("f"), "utf8")).to.equal("new");
    rmSync(at("f"));
    mkdirSync(at("f"));
    for (const overwrite of [false, true]) await expectAsyncRejection(() => save(streamOf("x"), overwrite), "CONFLICT");
    await expectAsyncRejection(() => saveStream(streamOf("x"), at("no/f"), { overwrite: false }), "DISK_FAILED");
  });
});
