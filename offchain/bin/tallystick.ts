#!/usr/bin/env node
/** The command `tallystick`. */
import { collectLessOften, keepNurserySmall, startProgram } from "./start-program.ts";

await startProgram("tallystick", async () => {
  keepNurserySmall();
  collectLessOften();
  const { main } = await import("../cli/main.ts");
  await main();
});
