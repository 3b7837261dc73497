import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { givenWalletKey, readNewPassphrase, readPassphrase, readRecoveryPhrase } from "../../offchain/cli/secrets.ts";
import { InvalidInputError } from "../../offchain/core/errors.ts";
import { readPassphrase as readDaemonPassphrase } from "../../offchain/daemon/keystore-file.ts";
import { isExposed, isInSecretMount, readPrivateFile } from "../../offchain/store/disk/private-file.ts";
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

    it(`are refused when others can read the ${name}`, async () => {
      for (const mode of [0o644, 0o640, 0o604, 0o620, 0o602]) {
        write("a secret");
        chmodSync(file, mode);
        const error = await rejection(read());
        expect(error, mode.toString(8)).to.be.instanceOf(InvalidInputError);
        expect(error).to.include({ check: "file mode", received: `mode 0${mode.toString(8)}` });
        expect(error.hint).to.equal(`chmod 600 ${file}`);
        expect(JSON.stringify(error)).not.to.contain("a secret");
      }
      chmodSync(file, 0o400);
      expect(await read()).to.equal("a secret");
    });
  }

  it("are refused when others can read a phrase or the key of a wallet", async () => {
    write("abandon ability able");
    chmodSync(file, 0o644);
    for (const read of [() => readRecoveryPhrase(file), () => givenWalletKey(file)]) {
      expect(await rejection(read())).to.include({ code: "INVALID_INPUT", check: "file mode", party: "you" });
    }
  });

  it("may be those of containers: of root and readable by the group, or in a read-only mount in memory", () => {
    const exposed = (mode: number, uid: number, user: number | undefined, isTerminal = false) =>
      isExposed({ mode: 0o100000 | mode, uid, isCharacterDevice: () => isTerminal }, user);
    expect([exposed(0o600, 7, 7), exposed(0o400, 0, 7), exposed(0o440, 0, 7), exposed(0o640, 0, 7)]).to.not.include(
      true,
    );
    expect([exposed(0o444, 0, 7), exposed(0o660, 0, 7), exposed(0o640, 7, 7), exposed(0o640, 8, 7)]).to.not.include(
      false,
    );
    // The user can change the mode: it is root.
    expect(exposed(0o640, 0, 0)).to.equal(true);
    expect(exposed(0o620, 7, 7, true)).to.equal(false);
    expect(exposed(0o644, 7, undefined)).to.equal(false);

    const mounts = [
      "1185 1100 0:123 / / rw,relatime master:405 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/X",
      "1190 1185 0:130 / /dev/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k",
      "1201 1185 0:61 / /run/secrets/key ro,relatime - tmpfs tmpfs rw",
      "1202 1185 0:62 / /etc/with\\040blank ro,relatime - tmpfs tmpfs rw,size=7986984k,inode64",
      "1203 1202 0:63 / /etc/with\\040blank/inner rw,relatime - tmpfs tmpfs rw",
      "1206 1185 0:64 / /run rw,relatime - tmpfs tmpfs rw",
      "1204 1185 8:1 /nix/store /nix/store ro,relatime - ext4 /dev/sda1 rw",
    ].join("\n");
    const secret = (path: string) => isInSecretMount(path, mounts);
    expect(secret("/run/secrets/key")).to.equal(true);
    expect(secret("/etc/with blank/..2026_11_29/passphrase")).to.equal(true);
    for (const path of [
      "/etc/passphrase",
      "/dev/shm/passphrase",
      "/run/secrets/key2",
      "/etc/with blank/inner/passphrase",
      "/nix/store/passphrase",
    ]) {
      expect(secret(path), path).to.equal(false);
    }
    expect(isInSecretMount("/etc/passphrase", "")).to.equal(false);
  });

  it("may have the recovery phrase in several lines of text", async () => {
    write("1 Abandon 2 ability\r\n 3 able\n");
    expect(await readRecoveryPhrase(file)).to.equal("abandon ability able");
    write(Uint8Array.of(0x61, 0xff));
    expect((await rejection(readRecoveryPhrase(file))).check).to.equal("recovery phrase file");
  });

  it("are refused when they are no text, whatever a daemon reads them for", async () => {
    write("[default]\nname = value\n");
    expect(readPrivateFile(file, { what: "credentials file" })).to.equal("[default]\nname = value\n");
    for (const content of [Uint8Array.of(0xff), "a\0"]) {
      write(content);
      const error = await rejection((async () => readPrivateFile(file, { what: "credentials file" }))());
      expect(error).to.include({ code: "INVALID_INPUT", check: "credentials file" });
    }
  });
});
