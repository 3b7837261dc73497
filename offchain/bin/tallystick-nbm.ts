#!/usr/bin/env node
/** The command `tallystick-nbm`: an NBM node. */
import { startProgram } from "./start-program.ts";

await startProgram("tallystick-nbm", async () => {
  await import("../nbm/main.ts");
});
