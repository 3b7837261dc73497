/** Public entry point `tallystick/core/encoding`. */
export * from "./address.ts";
export * from "./cbor.ts";
export * from "./content-id.ts";
export * from "./hex.ts";
