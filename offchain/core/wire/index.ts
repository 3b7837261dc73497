/** Public entry point `tallystick/core/wire`. */
export * from "./csp.ts";
export * from "./delegation.ts";
export * from "./nbm.ts";
export * from "./schema.ts";
export * from "./session.ts";
export * from "./verifier.ts";
