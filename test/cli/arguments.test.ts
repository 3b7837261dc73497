import { execFileSync } from "node:child_process";
import { expect } from "chai";
import { exactArguments } from "../../offchain/cli/arguments.ts";
import { InvalidInputError } from "../../offchain/core/errors.ts";

const MODULE = new URL("../../offchain/cli/arguments.ts", import.meta.url).href;

describe("arguments of the command line", () => {
  const line = (...parts: string[]) => Buffer.from(parts.map((part) => `${part}\0`).join(""), "latin1");

  it("are what Node shows when all of them are UTF-8", () => {
    const unread = () => {
      throw new Error("not needed");
    };
    expect(exactArguments(["put", "caf\u00e9", ""], unread)).to.deep.equal(["put", "caf\u00e9", ""]);
  });

  it("keep bytes that are not UTF-8, and a name that has the replacement character itself", () => {
    const read = () => line("node", "--flag", "main", "put", "caf\xe9", "\xef\xbf\xbd");
    expect(exactArguments(["put", "caf\ufffd", "\ufffd"], read)).to.deep.equal(["put", "caf\udce9", "\ufffd"]);
  });

  it("are refused where the system does not tell their bytes", () => {
    const absent = () => {
      throw new Error("no /proc");
    };
    expect(() => exactArguments(["caf\ufffd"], absent)).to.throw(InvalidInputError, "not UTF-8");
    expect(() => exactArguments(["caf\ufffd"], () => line("node", "other"))).to.throw(InvalidInputError, "not UTF-8");
  });

  it("are read from this system", () => {
    const script = `
      import { exactArguments } from "${MODULE}";
      console.log(JSON.stringify(exactArguments(process.argv.slice(1))));`;
    const shell = `exec "$0" --input-type=module -e "$1" put "$(printf 'caf\\351')"`;
    const printed = execFileSync("bash", ["-c", shell, process.execPath, script]).toString();
    expect(JSON.parse(printed)).to.deep.equal(["put", "caf\udce9"]);
  });
});
