#!/usr/bin/env node
/** The command `tallystick`. */
import { collectLessOften, keepNurserySmall, startProgram } from "./start-program.ts";

await startProgram("tallystick", async () => {
  const { endAtInterrupt } = await import("../cli/interrupt.ts");
  endAtInterrupt(process.argv.slice(2));
  collectLessOften();
  const { main } = await import("../cli/main.ts");
  keepNurserySmall();
  await main();
});
