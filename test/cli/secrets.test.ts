import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { readNewPassphrase, readPassphrase, readRecoveryPhrase } from "../../offchain/cli/secrets.ts";
import { InvalidInputError } from "../../offchain/core/errors.ts";
import { readPassphrase as readDaemonPassphrase } from "../../offchain/daemon/keystore-file.ts";
import { readPrivateFile } from "../../offchain/store/disk/private-file.ts";
import { rejection } from "../helpers/rejection.ts";

describe("files with secrets", () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-secrets-"));
    file = join(folder, "secret");
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const write = (content: string | Uint8Array) => writeFileSync(file, content, { mode: 0o600 });
  const readers = {
    passphrase: () => readPassphrase(file),
    "new passphrase": () => readNewPassphrase(file),
    "passphrase of a daemon": async () => readDaemonPassphrase(file),
  };

  for (const [name, read] of Object.entries(readers)) {
    it(`have one line with the ${name}, whatever ends it`, async () => {
      for (const end of ["", "\n", "\r\n", "\n\n", "\r\n\r\n"]) {
        write(`pässword with blanks \t ${end}`);
        expect(await read(), JSON.stringify(end)).to.equal("pässword with blanks \t ");
      }
      write("\uFEFFpassphrase\n");
      expect(await read()).to.equal("passphrase");
    });

    it(`are refused when they do not have the ${name} as a line of text, instead of being read in part`, async () => {
      const random = Uint8Array.of(0x41, 0xff, 0xfe, 0x41);
      for (const content of [
        random,
        Uint8Array.of(0xed, 0xa0, 0x80),
        "a\0b",
        "a\rb",
        "a\r",
        "a\nb",
        "a\n\nb\n",
        "\na",
      ]) {
        write(content);
        const error = await rejection(read());
        expect(error, JSON.stringify(content)).to.be.instanceOf(InvalidInputError);
        expect(error.check).to.equal("passphrase file");
        expect(error.message).to.contain(file);
        expect(error.hint).to.contain("openssl rand -base64 32");
      }
    });
  }

  it("may have the recovery phrase in several lines of text", async () => {
    write("1 Abandon 2 ability\r\n 3 able\n");
    expect(await readRecoveryPhrase(file)).to.equal("abandon ability able");
    write(Uint8Array.of(0x61, 0xff));
    expect((await rejection(readRecoveryPhrase(file))).check).to.equal("recovery phrase file");
  });

  it("are refused when they are no text, whatever a daemon reads them for", async () => {
    write("[default]\nname = value\n");
    expect(readPrivateFile(file, "credentials file")).to.equal("[default]\nname = value\n");
    for (const content of [Uint8Array.of(0xff), "a\0"]) {
      write(content);
      const error = await rejection((async () => readPrivateFile(file, "credentials file"))());
      expect(error).to.include({ code: "INVALID_INPUT", check: "credentials file" });
    }
  });
});
