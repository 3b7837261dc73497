/**
 * The Hardhat plugin: `plugins: [tallystick]` in a `hardhat.config.ts` gives a project the `tallystick` tasks.
 * Contracts are deployed by the Ignition module of `tallystick/hardhat/module`.
 */
import type { HardhatPlugin } from "hardhat/types/plugins";
import { tallystickTasks } from "./tasks.ts";

export const tallystick: HardhatPlugin = {
  id: "tallystick",
  npmPackage: "tallystick",
  tasks: tallystickTasks,
};

/** Hardhat expects plugins as default exports where one depends on another. */
export default tallystick;
