/** The Ignition module for chains with proof of stake: challenges follow from the RANDAO of the beacon chain. */
import { tallystickWith } from "./tallystick-with.ts";

export default tallystickWith("prevrandao");
