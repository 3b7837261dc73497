#!/usr/bin/env node
/** The command `tallystick-csp`: a storage provider. */
import { collectLessOften, startProgram } from "./start-program.ts";

await startProgram("tallystick-csp", async () => {
  collectLessOften();
  await import("../csp/main.ts");
});
