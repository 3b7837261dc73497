/**
 * The Ignition module that tests and development chains use, with block hashes as randomness. Public networks take
 * tallystick-prevrandao.ts or tallystick-drand.ts. Parameters come from ignition/parameters/*.json.
 */
import { tallystickWith } from "./tallystick-with.ts";

export default tallystickWith("block");
