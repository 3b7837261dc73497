/** Public entry point `tallystick/core/dkg`. */
export * from "./dkg.ts";
export * from "./key-id.ts";
export * from "./messages.ts";
