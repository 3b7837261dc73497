import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { readAnswerEvidence, WrongAnswerFiles } from "../../../offchain/agent/node/wrong-answer-files.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const OPERATOR = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const OTHER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

describe("evidence against key nodes in a home folder", () => {
  let home: string;
  let store: WrongAnswerFiles;

  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "tallystick-evidence-"));
    store = new WrongAnswerFiles(home);
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  it("is absent until there is some, and makes no folder", () => {
    expect(store.operators()).to.deep.equal([]);
    expect(store.read(OPERATOR)).to.equal(undefined);
    expect(readdirSync(home)).to.deep.equal([]);
  });

  it("is one file for each node, whatever the case of its address, for the owner's eyes only", () => {
    const file = store.keep(OPERATOR, "first");
    expect(store.keep(OPERATOR.toLowerCase(), "second")).to.equal(file);
    store.keep(OTHER, "other");
    expect(store.operators()).to.deep.equal([OPERATOR, OTHER].map((each) => each.toLowerCase()).sort());
    expect(new WrongAnswerFiles(home).read(OPERATOR)).to.equal("second");
    expect(statSync(file).mode & 0o777).to.equal(0o600);
  });

  it("leaves alone what is no evidence", () => {
    store.keep(OPERATOR, "evidence");
    writeFileSync(join(home, "wrong-answers", "notes.txt"), "");
    writeFileSync(join(home, "wrong-answers", `${OTHER.toLowerCase()}.json.1.partial`), "");
    expect(store.operators()).to.deep.equal([OPERATOR.toLowerCase()]);
  });

  it("is refused with a typed error when a named file is none, or not there", async () => {
    const file = join(home, "large");
    writeFileSync(file, "x".repeat(1_000_000));
    await expectAsyncRejection(() => readAnswerEvidence(file), "INVALID_INPUT", /no evidence/);
    await expectAsyncRejection(() => readAnswerEvidence(join(home, "absent")), "FILE_UNREADABLE", /./);
  });
});
