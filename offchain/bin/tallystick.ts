#!/usr/bin/env node
/** The command `tallystick`. */
import { keepNurserySmall, startProgram } from "./start-program.ts";

await startProgram("tallystick", async () => {
  keepNurserySmall();
  const { main } = await import("../cli/main.ts");
  await main();
});
