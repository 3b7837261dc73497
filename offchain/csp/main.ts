/** The command `tallystick-csp`. */
import { runProgram } from "../daemon/command-line.ts";
import { providerProgram } from "./provider.ts";

await runProgram(providerProgram);
