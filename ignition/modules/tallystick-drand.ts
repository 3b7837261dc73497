/** The Ignition module for any chain: challenges follow from the rounds of a drand network. */
import { tallystickWith } from "./tallystick-with.ts";

export default tallystickWith("drand");
