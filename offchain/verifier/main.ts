/** The command `tallystick-verifier`. */
import { runProgram } from "../daemon/command-line.ts";
import { verifierProgram } from "./watchtower.ts";

await runProgram(verifierProgram);
