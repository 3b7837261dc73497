/** Public entry point `tallystick/core/dkg`. */
export * from "./dkg.ts";
export * from "./messages.ts";
