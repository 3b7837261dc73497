/** Public entry point `tallystick/core/crypto`. */
export * from "./encryption.ts";
export * from "./gf256.ts";
export * from "./hpke.ts";
export * from "./kdf.ts";
export * from "./merkle-keys.ts";
export * from "./ownership-challenge.ts";
export * from "./ramp-sharing.ts";
export * from "./segments.ts";
