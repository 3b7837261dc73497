/** Public entry point `tallystick/core/agreement`. */
export * from "./offer.ts";
