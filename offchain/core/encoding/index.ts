/** Public entry point `tallystick/core/encoding`. */
export * from "./address.ts";
export * from "./base64url.ts";
export * from "./cbor.ts";
export * from "./content-id.ts";
export * from "./hex.ts";
export * from "./integers.ts";
export * from "./redact-url.ts";
