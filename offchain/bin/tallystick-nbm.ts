#!/usr/bin/env node
/** The command `tallystick-nbm`: an NBM node. */
import { collectLessOften, startProgram } from "./start-program.ts";

await startProgram("tallystick-nbm", async () => {
  collectLessOften();
  await import("../nbm/main.ts");
});
