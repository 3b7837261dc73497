/** Public entry point `tallystick/core/agreement`. */

export * from "./epochs.ts";
export * from "./offer.ts";
