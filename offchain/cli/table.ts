/** Tables of text, for people and for `awk`. */
import Table from "cli-table3";

/** Without rules and colours: a list that people read and `awk` cuts. */
const PLAIN = {
  chars: {
    top: "",
    "top-mid": "",
    "top-left": "",
    "top-right": "",
    bottom: "",
    "bottom-mid": "",
    "bottom-left": "",
    "bottom-right": "",
    left: "",
    "left-mid": "",
    mid: "",
    "mid-mid": "",
    right: "",
    "right-mid": "",
    middle: "  ",
  },
  style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
};

/** @returns a table of text as lines, columns aligned */
export function tableLines(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const table = new Table({ ...PLAIN, head: [...head] });
  for (const row of rows) table.push([...row]);
  return table.toString().split("\n");
}
