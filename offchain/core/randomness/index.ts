/** Public entry point `tallystick/core/randomness`. */

export * from "./drand.ts";
export * from "./quicknet.ts";
