#!/usr/bin/env node
/** The command `tallystick-csp`: a storage provider. */
import { startProgram } from "./start-program.ts";

await startProgram("tallystick-csp", async () => {
  await import("../csp/main.ts");
});
