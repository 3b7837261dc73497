#!/usr/bin/env node
/** The command `tallystick-verifier`: a watchtower for data sets. */
import { startProgram } from "./start-program.ts";

await startProgram("tallystick-verifier", async () => {
  await import("../verifier/main.ts");
});
