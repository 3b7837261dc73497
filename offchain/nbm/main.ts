/** The command `tallystick-nbm`. */
import { runProgram } from "../daemon/command-line.ts";
import { nodeProgram } from "./node.ts";

await runProgram(nodeProgram);
