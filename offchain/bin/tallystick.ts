#!/usr/bin/env node
/** The command `tallystick`. */
import { collectLessOften, keepNurserySmall, startProgram } from "./start-program.ts";

await startProgram("tallystick", async () => {
  collectLessOften();
  const { main } = await import("../cli/main.ts");
  keepNurserySmall();
  await main();
});
