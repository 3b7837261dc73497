#!/usr/bin/env node
/** The command `tallystick`. */
import { startProgram } from "./start-program.ts";

await startProgram("tallystick", async () => {
  const { main } = await import("../cli/main.ts");
  await main();
});
